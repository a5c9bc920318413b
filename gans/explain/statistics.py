"""Numbers, histogram and picture of an array, ready for JSON."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

from minigrad.arrays import backend

BINS = 24
FIRST = 6  # elements that are shown as numbers
IMAGES, CHANNELS = 4, 8  # shown of a batch of images, and of other feature maps of the first example
IMAGE_SIDE, MAP_SIDE, SMALLEST_SIDE = 64, 32, 4  # pixels: larger images and feature maps are subsampled, smaller ones not shown


def summary(x: Any, picture: bool = True) -> dict[str, Any]:
    """Shape, norm, mean, standard deviation, range, share of zeros, first elements, histogram, and a picture of images."""
    array = np.asarray(backend.to_numpy(x), np.float64)
    flat = array.ravel()
    finite = flat[np.isfinite(flat)]
    found = brief(x)
    if finite.size:
        found |= {"mean": short(finite.mean()), "std": short(finite.std())}
        found |= {"min": short(finite.min()), "max": short(finite.max()), "zeros": short((flat == 0).mean())}
        if finite.size > 1:
            found["bins"] = np.histogram(finite, BINS)[0].tolist()
    if picture and (pixels := as_picture(array)) is not None:
        found["image"] = data_uri(pixels)
    return found


def brief(x: Any) -> dict[str, Any]:
    """Shape, norm and first elements."""
    array = np.asarray(backend.to_numpy(x), np.float64)
    norm = float(np.linalg.norm(array.ravel()))
    return {"shape": list(array.shape), "norm": short(norm), "first": [short(v) for v in array.ravel()[:FIRST]]}


def short(x: float) -> float | None:
    """Four digits of a number; None, which is JSON's null, of NaN and infinity."""
    return float(f"{x:.4g}") if math.isfinite(x) else None


def as_picture(x: np.ndarray) -> np.ndarray | None:
    """Some images or feature maps (n, channels, height, width), side by side, as uint8: grey is 0, white the largest |x|."""
    if x.ndim != 4 or min(x.shape[2:]) < SMALLEST_SIDE or not np.isfinite(x).all():
        return None
    is_image = x.shape[1] in (1, 3)
    step = -(-max(x.shape[2:]) // (IMAGE_SIDE if is_image else MAP_SIDE))
    x = x[:IMAGES, :, ::step, ::step] if is_image else x[0, :CHANNELS, None, ::step, ::step]
    x = np.pad(x / (np.abs(x).max() or 1), ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)
    rows = np.concatenate(list(x), axis=2).transpose(1, 2, 0)
    return np.rint((rows + 1) * 127.5).astype(np.uint8)


def data_uri(pixels: np.ndarray) -> str:
    """An image inside a page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(buffer, "WEBP", quality=75)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
