"""Weights on disk as safetensors, the format that PyTorch users exchange."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.arrays.backend import as_array, describe_bad_values, to_numpy
from minigrad.io import files
from minigrad.io.files import FileError
from minigrad.tensor import raw

CHECKSUM = "crc32"  # its name in a file's metadata
LARGEST_COUNT = 2**62
NOT_NEGATIVE = {"running_var", "second", "square"}  # parts of the names of variances and second moments


def save(path: str | Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or tensors by name, atomically.

    The file's metadata include a checksum, by which `load` detects a single flipped bit.

    FileError if it cannot be written (no such folder, no permission, disk full). TypeError for what is no array.
    """
    if not isinstance(path, str | PathLike):
        raise TypeError("save takes the path first: save(path, arrays)")
    if callable(getattr(arrays, "state_dict", None)):
        raise TypeError(f"save takes arrays by name: save(path, x.state_dict()), where x is the {type(arrays).__name__}")
    if not isinstance(arrays, Mapping):
        raise TypeError(f"save takes a dictionary of arrays by name, not a {type(arrays).__name__}")
    files.write_atomically(path, as_bytes(arrays, metadata))


def as_bytes(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The file that `save` writes. The same arrays and metadata always give the same bytes."""
    from safetensors.numpy import save as to_bytes

    plain = {name: _as_numpy(name, a) for name, a in arrays.items()}
    strings = dict(metadata or {})
    return _in_order(to_bytes(plain, {**strings, CHECKSUM: checksum(plain, strings)}))


def _as_numpy(name: str, a: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"save: the name {name!r} is not a string")
    if isinstance(a, Mapping):
        key = next(iter(a), "key")
        raise TypeError(f"save: {name} is a dictionary; names are flat, so write {name}.{key} for the {key} in it")
    try:
        return np.asarray(to_numpy(as_array(raw(a))), order="C")
    except (TypeError, ValueError) as error:
        raise TypeError(f"save: {name}: {error}") from None


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted by name, so that the same arrays always give the same bytes.

    The format: the length of the header (8 bytes), the header (JSON, padded with spaces to a multiple of 8
    bytes), the values.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def load(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file, written by `save` or another program; the path may be a symbolic link to it.

    FileError if it is missing or damaged.
    """
    return load_with_metadata(path, follow=True)[0]


def load_with_metadata(
    path: str | Path, limit: int | None = None, follow: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the metadata of a file of at most `limit` bytes.

    Files of other programs have no checksum and are not checked.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    content = files.read(path, limit, follow)
    try:
        arrays = from_bytes(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise FileError(f"{path} is damaged or no safetensors file ({str(error)[:200]!r})") from error
    strings = header.get("__metadata__") or {}
    if strings.pop(CHECKSUM, None) not in (None, checksum(arrays, strings)):
        raise FileError(f"{path} is damaged: its checksum is of other contents")
    return arrays, strings


def check_like(
    path: Path, arrays: Mapping[str, np.ndarray], like: Mapping[str, Any], optional: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """FileError unless arrays from a file have the names, dtypes and shapes of `like`, perhaps with some of `optional`.

    They must also be possible as a state: floats are finite, integers are counters; counters, variances and second moments
    are not negative.
    """
    known = {**optional, **like}
    problems = [f"{name} is missing" for name in like.keys() - arrays.keys()]
    problems += [f"{name[:80]!r} is unknown" for name in arrays.keys() - known.keys()]
    for name in arrays.keys() & known.keys():
        a, right = arrays[name], known[name]
        counter = a.dtype.kind == "i"
        least = 0 if counter or NOT_NEGATIVE.intersection(name.split(".")) else -np.inf
        if (a.dtype, a.shape) != (right.dtype, right.shape):
            problems.append(f"{name} is {a.dtype} {a.shape} and should be {right.dtype} {right.shape}")
        elif not np.isfinite(a).all():
            problems.append(f"{name} has {describe_bad_values(a)}")
        elif a.size and not (a.min() >= least and (not counter or a.max() <= LARGEST_COUNT)):
            problems.append(f"{name} has a value out of range")
    if problems:
        raise FileError(f"{path} does not fit this program: {min(problems)}")


def checksum(arrays: Mapping[str, np.ndarray], strings: Mapping[str, str]) -> str:
    """CRC-32 of names, dtypes, shapes, values and strings, as eight hexadecimal digits."""
    crc = zlib.crc32(repr(sorted(strings.items())).encode())
    for name in sorted(arrays):
        a = arrays[name]
        crc = zlib.crc32(f"{name} {a.dtype.newbyteorder('<')} {a.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes(), crc)
    return f"{crc:08x}"
