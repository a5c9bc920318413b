"""Weights on disk: safetensors, the format PyTorch users exchange, written so that a crash never leaves half a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import as_array, to_numpy
from minigrad.tensor import raw


class FileError(Exception):
    """A file cannot be read or written; the message is one sentence that names it and says what is wrong."""


def save(path: str | Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or tensors by name. What was at `path` stays until the new file is complete on disk.

    FileError if it cannot be written (no such folder, no permission, disk full).
    """
    from safetensors.numpy import save as to_bytes

    plain = {name: np.asarray(to_numpy(as_array(raw(a))), order="C") for name, a in arrays.items()}
    write_atomically(path, to_bytes(plain, dict(metadata or {})))


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays written by `save`, or by anything else that writes safetensors. FileError if missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        return from_bytes(_read(path))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} is damaged or no safetensors file ({error})") from error


def load_metadata(path: str | Path) -> dict[str, str]:
    """The strings saved beside the arrays."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise FileError(f"{path} is damaged or no safetensors file ({error})") from error


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write beside `path`, wait until it is on disk, then rename over it: readers see the old file or the new one."""
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(f"cannot write {path}: {error.strerror or error}; what was there is unchanged") from error
        raise


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
