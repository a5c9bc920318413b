"""How different images are from each other, and how their colours differ from those of real images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gans.measures.similarity import WINDOW, ssim_terms

Images = npt.NDArray[np.uint8]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first


def multi_scale_ssim(a: Images, b: Images) -> npt.NDArray[np.float64]:
    """MS-SSIM of pairs of images (n, channels, height, width): (n,), 1 for identical ones.

    The product over scales, each half as large as the last, of the mean contrast and structure terms of SSIM to the
    power of the scale's weight, with the luminance term at the last one (equation 7 of the source). Images with fewer
    than 176 pixels a side have no room for SSIM's window at all five scales: they get fewer, with weights that again sum to 1.

    Source: Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment" (2003).
    """
    scales = min(len(WEIGHTS), int(np.log2(min(a.shape[2:]) / WINDOW)) + 1)
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    return np.array([_of_pair(x.astype(np.float64), y.astype(np.float64), weights) for x, y in zip(a, b, strict=True)])


def _of_pair(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    """MS-SSIM of each channel, averaged. A negative mean term, of images with opposite structure, counts as 0."""
    product = np.ones(len(x))
    for scale, weight in enumerate(weights, 1):
        luminance, structure = ssim_terms(x, y)
        terms = luminance * structure if scale == len(weights) else structure
        product *= terms.mean((1, 2)).clip(0) ** weight
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def _halved(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of squares of 2 x 2 pixels."""
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def mean_similarity(images: Images, pairs: int, seed: int) -> float:
    """The mean MS-SSIM of random pairs of different images: the lower, the more diverse they are.

    Source: Odena, Olah and Shlens, "Conditional image synthesis with auxiliary classifier GANs", ICML 2017, section 4.2.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(images), pairs)
    second = (first + rng.integers(1, len(images), pairs)) % len(images)
    return float(multi_scale_ssim(images[first], images[second]).mean())


def colour_distance(a: Images, b: Images) -> float:
    """How far the histograms of the colour channels are apart, from 0 to 255: the mean of their Wasserstein-1 distances.

    It is by how many grey levels the pixel values of one set have to change on average to have the other's histogram.
    """
    return float(np.abs(_cumulative(a) - _cumulative(b)).sum(1).mean())


def _cumulative(images: Images) -> npt.NDArray[np.float64]:
    """For each channel and each level, the share of pixels up to it: (channels, 256)."""
    counts = [np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])]
    return np.cumsum(counts, axis=1) / images[:, 0].size
