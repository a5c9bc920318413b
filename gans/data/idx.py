"""IDX, the file format of MNIST: a magic number, the shape, then the raw data, all big-endian.

- bytes 0 and 1: zero
- byte 2: the type code, 0x08 for uint8 (see `_TYPES`)
- byte 3: D, the number of dimensions
- 4 x D bytes: the size of each dimension, uint32
- the rest: the elements in row-major (C) order
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

from gans.data.errors import DataError, write_error
from gans.data.file_types import guess_file_type
from minigrad.io.files import replacing

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}
_MAX_DIMENSIONS = 32  # the limit of NumPy 1; NumPy 2 allows 64
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_MAX_RATIO = 1032  # deflate's largest compression ratio: it bounds the size of a gzip file's content
_CHUNK = 1 << 20


class _Unusable(Exception):
    """What is wrong with a file, as the rest of a sentence that begins with its path."""


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Read an IDX file, plain or gzip-compressed. Its first two bytes tell which, not its name.

    Returns a writable array with the shape and dtype in the file's header: uint8, int8, int16, int32,
    float32 or float64, in native byte order.

    Raises DataError if the file is missing, unreadable, damaged, truncated, too long or not an IDX file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # checked first: open() would block on a named pipe
            raise _Unusable("is a folder, not an IDX file" if path.is_dir() else "is not a regular file")
        with path.open("rb") as file:
            return _parse(file)
    except _Unusable as error:
        raise DataError(f"{path} {error}; replace it with an intact copy.") from error
    except EOFError as error:
        raise DataError(f"{path} is truncated: its gzip stream ends too early; replace it with an intact copy.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); replace it with an intact copy.") from error
    except MemoryError as error:
        raise DataError(f"{path} holds more data than there is memory; use a smaller file.") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the file and its permissions.") from error


def write_idx(path: Path, array: npt.NDArray[Any]) -> None:
    """Write `array` (1 to 32 dimensions, a dtype that `read_idx` returns) as an uncompressed IDX file.

    Missing parent folders are created. The write is atomic: an existing file is replaced only when the
    new one is complete.

    Raises DataError if the file cannot be written (disk full, no permission), TypeError for a dtype and
    ValueError for a shape that IDX cannot hold.
    """
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise TypeError(f"IDX cannot hold the dtype {array.dtype}")
    if not 1 <= array.ndim <= _MAX_DIMENSIONS or max(array.shape) >= 1 << 32:
        raise ValueError(f"IDX cannot hold the shape {array.shape}")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(header)
            file.write(array.astype(_TYPES[code], copy=False).tobytes())
    except OSError as error:
        raise write_error(path, error) from error


def _parse(file: BinaryIO) -> npt.NDArray[Any]:
    size = os.fstat(file.fileno()).st_size
    compressed = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
    shape, dtype = _read_header(stream)
    header_size = 4 + 4 * len(shape)
    expected = math.prod(shape) * dtype.itemsize
    if not compressed and header_size + expected != size:
        raise _Unusable(f"has the wrong size: its header implies {header_size + expected:,} bytes, but it has {size:,}")
    if expected > size * _GZIP_MAX_RATIO:
        raise _Unusable(f"is damaged: its header implies {expected:,} bytes of data, which {size:,} bytes of gzip cannot hold")
    data = _read_payload(stream, expected)
    return np.ndarray(shape, dtype, buffer=data).astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = stream.read(4)
    if not magic:
        raise _Unusable("is empty")
    if not magic.startswith(b"\0\0"[: len(magic)]):
        guess = guess_file_type(magic + stream.read(60))
        raise _Unusable("is not an IDX file" + (f" but looks like {guess}" if guess else " (wrong magic number)"))
    if len(magic) < 4:
        raise _Unusable(f"is truncated: it has only {len(magic)} bytes")
    code, dimensions = magic[2:]
    if code not in _TYPES or not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise _Unusable(f"is not an IDX file (type code {code}, {dimensions} dimensions)")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _Unusable("is truncated: it ends inside its header")
    shape = struct.unpack(f">{dimensions}I", sizes)
    dtype = np.dtype(_TYPES[code])
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > sys.maxsize:  # NumPy refuses it even if one size is 0
        raise _Unusable(f"is damaged: its header gives the impossible shape {' x '.join(map(str, shape))}")
    return shape, dtype


def _read_payload(stream: BinaryIO, expected: int) -> bytearray:
    data = bytearray()
    # Ask for one byte too many: that detects trailing data, and makes gzip verify its checksum.
    while chunk := stream.read(min(_CHUNK, expected + 1 - len(data))):
        data += chunk
    if len(data) != expected:
        found = "more" if len(data) > expected else f"only {len(data):,}"
        raise _Unusable(f"has the wrong size: its header implies {expected:,} bytes of data, but it has {found}")
    return data
