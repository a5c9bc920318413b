"""L1, PSNR and SSIM between images, and two baselines for translations: histogram matching, and few colours.

Images are uint8 (n, channels, height, width). Each measure returns one value per image, float64 (n,).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_PEAK = 255.0
WINDOW, _SIGMA = 11, 1.5  # of SSIM's Gaussian, in pixels
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2  # SSIM's constants, which prevent 0 / 0


def l1(a: Images, b: Images) -> Floats:
    """The mean absolute difference, from 0 (identical) to 255."""
    _check(a, b)
    return np.array([np.abs(x.astype(np.float64) - y).mean() for x, y in zip(a, b, strict=True)])


def psnr(a: Images, b: Images) -> Floats:
    """The peak signal-to-noise ratio in dB, 10 log10(255^2 / MSE); infinite for identical images."""
    _check(a, b)
    squared = np.array([((x.astype(np.float64) - y) ** 2).mean() for x, y in zip(a, b, strict=True)])
    with np.errstate(divide="ignore"):
        return 10 * np.log10(_PEAK**2 / squared)


def ssim(a: Images, b: Images) -> Floats:
    """The structural similarity index, at most 1 (identical).

    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity" (2004), equation 13, with their Gaussian window of 11 x 11 pixels and sigma 1.5, averaged
    over all positions where the window fits inside the image. The paper is about grey images; here it
    is computed for each channel and averaged.
    """
    _check(a, b)
    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"ssim: images of shape {a.shape} are smaller than its window of {WINDOW} x {WINDOW} pixels")
    pairs = ((x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True))
    return np.array([np.multiply(*ssim_terms(x, y)).mean() for x, y in pairs])


def ssim_terms(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The luminance term, and the product of the contrast and structure terms, at every position of the window.

    Images float64 (channels, h, w) give two arrays (channels, h - 10, w - 10), whose product is SSIM.
    """
    mean_a, mean_b = _window_means(a), _window_means(b)
    variance_a, variance_b = _window_means(a * a) - mean_a**2, _window_means(b * b) - mean_b**2
    covariance = _window_means(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variance_a + variance_b + _C2)


def _window_means(image: Floats) -> Floats:
    """Gaussian-weighted means of every window, (channels, h - 10, w - 10), by one pass per axis."""
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = (n - WINDOW + 1 for n in image.shape[1:])
    rows = sum(weight * image[:, i : i + height] for i, weight in enumerate(weights))
    return np.asarray(sum(weight * rows[:, :, i : i + width] for i, weight in enumerate(weights)))


def histogram_match(source: Images, reference_a: Images, reference_b: Images) -> Images:
    """Translate images from A to B with one lookup table per channel, fitted to unpaired references.

    The tables map A's quantiles to B's, so each channel's histogram becomes that of B. This ignores
    the content of the images, so a trained network should do better.
    """
    for name, images in (("source", source), ("reference_a", reference_a), ("reference_b", reference_b)):
        _check_images(name, images)
        if images.shape[1] != source.shape[1]:
            raise ValueError(f"histogram_match: {name} has {images.shape[1]} channels but source has {source.shape[1]}")
    matched = np.empty_like(source)
    for channel in range(source.shape[1]):
        matched[:, channel] = _lookup_table(reference_a[:, channel], reference_b[:, channel])[source[:, channel]]
    return matched


def _lookup_table(a: Images, b: Images) -> npt.NDArray[np.uint8]:
    """The table for one channel, (256,): each value is mapped to that which has the same rank in b."""
    present = np.flatnonzero(np.bincount(b.ravel(), minlength=256))  # values that occur in b
    return np.round(np.interp(_ranks(a), _ranks(b)[present], present)).astype(np.uint8)


def _ranks(values: Images) -> Floats:
    """The rank of each value from 0 to 255: the fraction of pixels below it, plus half of those equal to it."""
    frequency = np.bincount(values.ravel(), minlength=256) / values.size
    return np.cumsum(frequency) - frequency / 2


def nearest_colours(source: Images, colours: Images) -> Images:
    """Images with 3 channels, each pixel replaced by the nearest of some colours, uint8 (k, 3)."""
    nearest = np.empty_like(source)
    for image, result in zip(source.astype(np.float32), nearest, strict=True):
        distances = np.stack([((image - colour[:, None, None]) ** 2).sum(axis=0) for colour in colours])
        result[:] = colours[distances.argmin(axis=0)].transpose(2, 0, 1)
    return nearest


def _check(a: Images, b: Images) -> None:
    _check_images("a", a)
    _check_images("b", b)
    if a.shape != b.shape:
        raise ValueError(f"images of different shapes cannot be compared: a is {a.shape}, b is {b.shape}")


def _check_images(name: str, images: Images) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(
            f"{name} must be a batch of images, uint8 (n, channels, height, width), but it is {images.dtype} {images.shape}"
        )
