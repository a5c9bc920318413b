"""How good a translation is, where the truth is known: beside doing nothing, and beside a table of colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gans.data.pairs import TwoKinds
from gans.measures import similarity


def scores(translate: Callable[[np.ndarray, str], np.ndarray], kinds: TwoKinds, test_a: np.ndarray, test_b: np.ndarray) -> str:
    """A table in Markdown of the mean PSNR, SSIM and L1 distance over held-out pictures.

    Parameters
    ----------
    translate : (images, "AtoB" or "BtoA") to translated images
    kinds : with the training images, on which the table of colours is fitted
    test_a, test_b : held-out images uint8 (n, 3, height, width); image i of both shows the same
    """
    lines = [
        f"Translations of {len(test_a)} held-out pictures beside the truth (PSNR in dB and SSIM: more is better; L1: less is).",
        "",
        "| direction | translated by | PSNR | SSIM | L1 |",
        "| --- | --- | --: | --: | --: |",
    ]
    directions = (
        ("AtoB", test_a, test_b, kinds.train_a, kinds.train_b),
        ("BtoA", test_b, test_a, kinds.train_b, kinds.train_a),
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
