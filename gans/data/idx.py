"""IDX, the file format of MNIST: a magic number, the dimensions, then the raw numbers, all big-endian.

- byte 0 and 1: zero
- byte 2: the type code, 0x08 for uint8 (see `_TYPES`)
- byte 3: D, the number of dimensions
- 4 x D bytes: the size of each dimension, uint32
- the rest: the numbers, last dimension fastest
"""

import gzip
import math
import os
import stat
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError
from minigrad.io.files import replacing

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}
_MAX_DIMENSIONS = 32  # what every NumPy can hold
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_MAX_RATIO = 1032  # deflate cannot shrink anything further, so a gzip file bounds what it holds
_CHUNK = 1 << 20

_LOOKS = {
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML page",
    b"\x89png": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"gif8": "a GIF image",
    b"pk\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"bzh": "a bzip2 file",
    b"\xfd7zxz": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"%pdf": "a PDF document",
    b"\x93numpy": "a NumPy .npy file",
    b"\x89hdf": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer",
}


class _Unusable(Exception):
    """What is wrong with the file at hand, as the end of a sentence that its path begins."""


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Reads one IDX file, plain or gzip-compressed (its first two bytes decide, not its name).

    Returns a writable array of the shape and type that the file declares (uint8, int8, int16, int32,
    float32 or float64, in the machine's byte order).

    Raises DataError if the file is missing, unreadable, damaged, cut short, too long or no IDX file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before open(), which would wait for ever on a named pipe
            raise _Unusable("is a folder, not an IDX file" if path.is_dir() else "is not a regular file")
        with path.open("rb") as file:
            return _parse(file)
    except _Unusable as error:
        raise DataError(f"{path} {error}; replace it with a good copy.") from error
    except EOFError as error:
        raise DataError(f"{path} is cut short: its gzip stream ends too early; replace it with a good copy.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); replace it with a good copy.") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the file and its rights.") from error


def write_idx(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes `array` (1 to 32 dimensions, a type that `read_idx` returns) as a plain IDX file.

    Missing folders are made, and an older file stays untouched until the new one is complete.

    Raises DataError if the file cannot be written (no room, no permission), TypeError for a type and
    ValueError for a shape that IDX cannot hold.
    """
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise TypeError(f"IDX cannot hold {array.dtype}")
    if not 1 <= array.ndim <= _MAX_DIMENSIONS or max(array.shape) >= 1 << 32:
        raise ValueError(f"IDX cannot hold the shape {array.shape}")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(header)
            file.write(array.astype(_TYPES[code], copy=False).tobytes())
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> DataError:
    """The DataError for an `error` met while writing `path`."""
    return DataError(f"{path} cannot be written ({error.strerror or error}); check the free space and the rights.")


def looks_like(head: bytes) -> str | None:
    """What a file that begins with `head` seems to be ("an HTML page"), or None."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _LOOKS.items():
        if start.startswith(magic):
            return name
    return "a text file" if head.isascii() and "".join(head.decode().split()).isprintable() else None


def _parse(file: BinaryIO) -> npt.NDArray[Any]:
    size = os.fstat(file.fileno()).st_size
    zipped = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if zipped else file
    shape, dtype = _read_header(stream)
    header_size = 4 + 4 * len(shape)
    promised = math.prod(shape) * dtype.itemsize
    if not zipped and header_size + promised != size:
        raise _Unusable(f"has the wrong size: its header promises {header_size + promised:,} bytes, it has {size:,}")
    if promised > size * _GZIP_MAX_RATIO:
        raise _Unusable(f"is damaged: its header promises {promised:,} bytes, more than {size:,} zipped ones can hold")
    data = _read_payload(stream, promised)
    return np.ndarray(shape, dtype, buffer=data).astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = stream.read(4)
    if not magic:
        raise _Unusable("is empty")
    if not magic.startswith(b"\0\0"[: len(magic)]):
        look = looks_like(magic + stream.read(60))
        raise _Unusable("is not an IDX file" + (f" but looks like {look}" if look else " (wrong first bytes)"))
    if len(magic) < 4:
        raise _Unusable(f"is cut short: it has only {len(magic)} bytes")
    code, dimensions = magic[2:]
    if code not in _TYPES or not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise _Unusable(f"is not an IDX file (type code {code}, {dimensions} dimensions)")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _Unusable("is cut short: it ends within its header")
    shape = struct.unpack(f">{dimensions}I", sizes)
    dtype = np.dtype(_TYPES[code])
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > sys.maxsize:  # NumPy refuses it even where one is zero
        raise _Unusable(f"is damaged: its header promises an absurd {' x '.join(map(str, shape))} numbers")
    return shape, dtype


def _read_payload(stream: BinaryIO, promised: int) -> bytearray:
    data = bytearray()
    # One byte more than promised is asked for: it finds trailing bytes, and makes gzip verify its checksum.
    while chunk := stream.read(min(_CHUNK, promised + 1 - len(data))):
        data += chunk
    if len(data) != promised:
        held = "more" if len(data) > promised else f"only {len(data):,}"
        raise _Unusable(f"has the wrong size: its header promises {promised:,} bytes of data, it has {held}")
    return data
