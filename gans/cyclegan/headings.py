"""Headings above the columns of a sample grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def with_headings(sheet: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """A grid uint8 (height, width, 3) below a strip with one heading for each of its columns."""
    from PIL import Image, ImageDraw, ImageFont

    column = sheet.shape[1] / len(labels)
    size = min(max(column / 5, 11), 24)
    strip = Image.new("RGB", (sheet.shape[1], round(1.5 * size)), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size)
    for i, label in enumerate(labels):
        draw.text(((i + 0.5) * column, strip.height / 2), label, "black", font, anchor="mm")
    return np.concatenate([np.asarray(strip), sheet])
