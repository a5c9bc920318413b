"""How close translations are to the ground truth, compared with not translating and with histogram matching."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gans.data.unpaired import UnpairedImages
from gans.measures import similarity


def scores(
    translate: Callable[[np.ndarray, str], np.ndarray], data: UnpairedImages, test_a: np.ndarray, test_b: np.ndarray
) -> str:
    """A Markdown table of PSNR, SSIM and L1 distance, each the mean over the held-out images.

    Parameters
    ----------
    translate : maps (images, "AtoB" or "BtoA") to translated images
    data : the data set; histogram matching is fitted to its training images
    test_a, test_b : held-out images uint8 (n, 3, height, width); test_a[i] and test_b[i] show the same scene
    """
    lines = [
        f"Translations of {len(test_a)} held-out images compared with the ground truth "
        "(PSNR in dB, SSIM: higher is better; L1: lower is better).",
        "",
        "| direction | translated by | PSNR | SSIM | L1 |",
        "| --- | --- | --: | --: | --: |",
    ]
    directions = (
        ("AtoB", test_a, test_b, data.train_a, data.train_b),
        ("BtoA", test_b, test_a, data.train_b, data.train_a),
    )
    for direction, source, truth, train_source, train_target in directions:
        candidates = {
            "nothing": source,
            "histogram match": similarity.histogram_match(source, train_source, train_target),
            "the network": translate(source, direction),
        }
        for name, images in candidates.items():
            psnr, ssim, l1 = (measure(images, truth).mean() for measure in (similarity.psnr, similarity.ssim, similarity.l1))
            lines.append(f"| {direction} | {name} | {psnr:.2f} | {ssim:.3f} | {l1:.1f} |")
    return "\n".join(lines) + "\n"
