"""How good translations are, compared with not translating and with histogram matching.

Of any data: how many translations look like the other domain, and how well the cycle closes. Where the held-out images
are paired also: how close they are to the ground truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gans.data.unpaired import UnpairedImages
from gans.measures import similarity
from gans.measures.kinds import looks_like_b, train_classifier_of_domains

Translate = Callable[[np.ndarray, str], np.ndarray]


def report(translate: Translate, data: UnpairedImages, test_a: np.ndarray, test_b: np.ndarray) -> str:
    """The tables of `domains` and, where the held-out images are paired, of `scores`."""
    text = domains(translate, data, test_a, test_b)
    return f"{text}\n{scores(translate, data, test_a, test_b)}" if data.paired else text


def domains(translate: Translate, data: UnpairedImages, test_a: np.ndarray, test_b: np.ndarray) -> str:
    """A Markdown table: the share of translations that look like the other domain, and the distance after a cycle."""
    classifier = train_classifier_of_domains(data.train_a, data.train_b)
    right = np.concatenate([~looks_like_b(classifier, test_a), looks_like_b(classifier, test_b)])
    lines = [
        f"A classifier of the two domains, which gets {100 * right.mean():.1f} % of the {len(right)} held-out images right, "
        "judges which translations look like the other domain (higher is better). Cycle L1, of 255, is how far images are from "
        "their reconstruction (lower is better).",
        "",
        "| direction | translated by | other domain | cycle L1 |",
        "| --- | --- | --: | --: |",
    ]
    for direction, back, source, fitted in (
        ("AtoB", "BtoA", test_a, (data.train_a, data.train_b)),
        ("BtoA", "AtoB", test_b, (data.train_b, data.train_a)),
    ):
        matched = similarity.histogram_match(source, *fitted)
        translated = translate(source, direction)
        candidates = {
            "nothing": (source, source),
            "histogram match": (matched, similarity.histogram_match(matched, *reversed(fitted))),
            "the network": (translated, translate(translated, back)),
        }
        for name, (images, cycled) in candidates.items():
            share = (looks_like_b(classifier, images) == (direction == "AtoB")).mean()
            lines.append(f"| {direction} | {name} | {100 * share:.1f} % | {similarity.l1(source, cycled).mean():.1f} |")
    return "\n".join(lines) + "\n"


def scores(translate: Translate, data: UnpairedImages, test_a: np.ndarray, test_b: np.ndarray) -> str:
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
