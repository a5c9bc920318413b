"""How close translated images come to the true ones, and a translation that every network should beat.

Images are uint8 (n, channels, height, width); each measure is a number for every image, (n,) float64. The plainest
baseline is to translate nothing: measure the untranslated images themselves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]

_PEAK = 255.0
_WINDOW, _SIGMA = 11, 1.5  # of SSIM, in pixels
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2  # keep its quotients from 0 / 0


def l1(a: Images, b: Images) -> Numbers:
    """The mean absolute difference, from 0, alike, to 255."""
    _check(a, b)
    return np.array([np.abs(x.astype(np.float64) - y).mean() for x, y in zip(a, b, strict=True)])


def psnr(a: Images, b: Images) -> Numbers:
    """The peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared difference); infinite where they are alike."""
    _check(a, b)
    squared = np.array([((x.astype(np.float64) - y) ** 2).mean() for x, y in zip(a, b, strict=True)])
    with np.errstate(divide="ignore"):
        return 10 * np.log10(_PEAK**2 / squared)


def ssim(a: Images, b: Images) -> Numbers:
    """The structural similarity, at most 1, which is alike.

    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004),
    equation 13, with their Gaussian window of 11 x 11 pixels and sigma 1.5, wherever it lies within the image. They
    compare grey images; here each channel is one, and the mean is taken over the channels too.
    """
    _check(a, b)
    if min(a.shape[2:]) < _WINDOW:
        raise ValueError(f"ssim: its window of {_WINDOW} x {_WINDOW} pixels needs larger images than {a.shape} has")
    return np.array([_ssim(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True)])


def _ssim(a: Numbers, b: Numbers) -> float:
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return float((likeness / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))).mean())


def _blurred(image: Numbers) -> Numbers:
    """The means under the Gaussian window, first over its rows, then over its columns: (channels, h - 10, w - 10)."""
    weights = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = (n - _WINDOW + 1 for n in image.shape[1:])
    rows = sum(weight * image[:, i : i + height] for i, weight in enumerate(weights))
    return np.asarray(sum(weight * rows[:, :, i : i + width] for i, weight in enumerate(weights)))


def histogram_match(source: Images, reference_a: Images, reference_b: Images) -> Images:
    """Translates images of kind A into kind B, as well as can be done by a table for each channel.

    The tables, fitted on unpaired references of both kinds, map A's quantiles to B's: afterwards each channel's values are
    as frequent as in B, but nothing has been learned of what the images show.
    """
    for name, images in (("source", source), ("reference_a", reference_a), ("reference_b", reference_b)):
        _check_images(name, images)
        if images.shape[1] != source.shape[1]:
            raise ValueError(f"histogram_match: {name} has {images.shape[1]} channels but source has {source.shape[1]}")
    matched = np.empty_like(source)
    for channel in range(source.shape[1]):
        matched[:, channel] = _table(reference_a[:, channel], reference_b[:, channel])[source[:, channel]]
    return matched


def _table(a: Images, b: Images) -> npt.NDArray[np.uint8]:
    """For each of the 256 values, the one that has the same rank in b as it has in a."""
    there = np.flatnonzero(np.bincount(b.ravel(), minlength=256))  # values that b has
    return np.round(np.interp(_ranks(a), _ranks(b)[there], there)).astype(np.uint8)


def _ranks(values: Images) -> Numbers:
    """The share of what is below each of the 256 values, and half of what equals it."""
    share = np.bincount(values.ravel(), minlength=256) / values.size
    return np.cumsum(share) - share / 2


def _check(a: Images, b: Images) -> None:
    _check_images("a", a)
    _check_images("b", b)
    if a.shape != b.shape:
        raise ValueError(f"images of unlike shapes cannot be compared: a is {a.shape}, b is {b.shape}")


def _check_images(name: str, images: Images) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(
            f"{name} must be images, uint8 of the shape (n, channels, height, width), but it is {images.dtype} {images.shape}"
        )
