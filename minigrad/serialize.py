"""Weights on disk as safetensors, the format in which PyTorch users exchange them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import files
from minigrad.backend import as_array, to_numpy
from minigrad.files import FileError
from minigrad.tensor import raw


def save(path: str | Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays or tensors by name. What was at `path` stays until the new file is complete on disk.

    FileError if it cannot be written (no such folder, no permission, disk full).
    """
    from safetensors.numpy import save as to_bytes

    plain = {name: np.asarray(to_numpy(as_array(raw(a))), order="C") for name, a in arrays.items()}
    files.write_atomically(path, to_bytes(plain, dict(metadata or {})))


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays written by `save`, or by anything else that writes safetensors. FileError if missing or damaged."""
    return load_with_metadata(path)[0]


def load_with_metadata(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays, and the strings saved beside them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    content = files.read(path)
    try:
        arrays = from_bytes(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} is damaged or no safetensors file ({error})") from error
    return arrays, header.get("__metadata__", {})
