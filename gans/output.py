"""Image files for users, PNG, JPEG and WebP with a description in their metadata; and figures."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.io.files import FileError, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # by suffix, under Pillow's names
OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
DESCRIPTION = 0x010E  # EXIF's tag ImageDescription


def save_image(path: Path, pixels: np.ndarray, about: Mapping[str, str] | None = None) -> None:
    """Write a PNG, JPEG or WebP file, as the suffix says. FileError if it cannot be written.

    Parameters
    ----------
    pixels : uint8 (height, width, 3), or (height, width) for grey
    about : facts for the file's metadata: text chunks of a PNG, the EXIF description of the others
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks, exif = PngInfo(), Image.Exif()
    for key, value in (about or {}).items():
        chunks.add_text(key, value)
    exif[DESCRIPTION] = ", ".join(f"{key} {value}" for key, value in (about or {}).items())
    kind = FORMATS[path.suffix.lower()]
    options = {"pnginfo": chunks} if kind == "PNG" else {"exif": exif}
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, kind, **OPTIONS[kind], **options)
    except (KeyError, OSError, ValueError) as error:  # such as a side that the format has no room for
        raise FileError(f"cannot write {path}, {pixels.shape[1]} x {pixels.shape[0]} pixels: {error}") from error
    write_atomically(path, buffer.getvalue())


def new_figure(width: float, height: float, dpi: float = 100) -> Figure:
    """An empty figure, in inches, that is drawn in memory whatever backend the environment asks for."""
    # Not pyplot, which may need a display; matplotlib itself refuses to be imported with a backend that it does not know.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    figure = Figure(figsize=(width, height), layout="constrained", dpi=dpi)
    FigureCanvasAgg(figure)
    return figure
