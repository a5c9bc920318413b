"""How good translations are, compared with baselines that need no network.

Of any data: how many translations look like the other domain, and how well the cycle closes. Where the held-out images
are paired also: how close they are to the ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gans.data.unpaired import UnpairedImages
from gans.measures import similarity
from gans.measures.domain_classifier import looks_like_b, train_classifier_of_domains
from gans.networks.palette import most_common_colours

Translate = Callable[[np.ndarray, str], np.ndarray]
# Images, and training images of their own and of the other domain, to translations.
BASELINES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "nothing": lambda images, own, other: images,
    "histogram match": similarity.histogram_match,
    "16 colours": lambda images, own, other: similarity.nearest_colours(images, most_common_colours(other, 16)),
}


@dataclass(frozen=True, eq=False)
class Direction:
    """The held-out images of a domain, uint8 (n, 3, height, width), and what became of them."""

    name: str  # "AtoB" or "BtoA"
    source: np.ndarray
    truth: np.ndarray  # the held-out images of the other domain; if they are paired, truth[i] shows the scene of source[i]
    fitted: tuple[np.ndarray, np.ndarray]  # training images of this domain and of the other, for the baselines
    translated: dict[str, np.ndarray]  # by the name of a baseline, or "the network"


def directions(translate: Translate, data: UnpairedImages, test_a: np.ndarray, test_b: np.ndarray) -> list[Direction]:
    """Translate the held-out images of both domains. `translate` maps (images, "AtoB" or "BtoA") to images."""
    found = []
    for name, source, truth, fitted in (
        ("AtoB", test_a, test_b, (data.train_a, data.train_b)),
        ("BtoA", test_b, test_a, (data.train_b, data.train_a)),
    ):
        translated = {by: baseline(source, *fitted) for by, baseline in BASELINES.items()}
        found.append(Direction(name, source, truth, fitted, translated | {"the network": translate(source, name)}))
    return found


def report(translate: Translate, data: UnpairedImages, test_a: np.ndarray, test_b: np.ndarray) -> str:
    """The tables of `domains` and, where the held-out images are paired, of `scores`."""
    both = directions(translate, data, test_a, test_b)
    text = domains(translate, both)
    return f"{text}\n{scores(both)}" if data.paired else text


def domains(translate: Translate, both: Sequence[Direction]) -> str:
    """A Markdown table: the share of translations that look like the other domain, and the distance after a cycle."""
    a_to_b, b_to_a = both
    classifier = train_classifier_of_domains(*a_to_b.fitted, side=min(a_to_b.source.shape[2:]))
    right = np.concatenate([~looks_like_b(classifier, a_to_b.source), looks_like_b(classifier, b_to_a.source)])
    lines = [
        f"A classifier of the two domains, which gets {100 * right.mean():.1f} % of the {len(right)} held-out images right, "
        "judges which translations look like the other domain (higher is better). Cycle L1, of 255, is how far images are from "
        "their reconstruction (lower is better). Baselines without a network: histogram match, one table for each colour "
        "channel; 16 colours, the nearest of the other domain's most common ones for each pixel.",
        "",
        "| direction | translated by | other domain | cycle L1 |",
        "| --- | --- | --: | --: |",
    ]
    for there, back in ((a_to_b, b_to_a), (b_to_a, a_to_b)):
        cycled = {by: baseline(there.translated[by], *back.fitted) for by, baseline in BASELINES.items()}
        cycled["the network"] = translate(there.translated["the network"], back.name)
        for name, images in there.translated.items():
            share = (looks_like_b(classifier, images) == (there is a_to_b)).mean()
            distance = similarity.l1(there.source, cycled[name]).mean()
            lines.append(f"| {there.name} | {name} | {100 * share:.1f} % | {distance:.1f} |")
    return "\n".join(lines) + "\n"


def scores(both: Sequence[Direction]) -> str:
    """A Markdown table of PSNR, SSIM and L1 distance, each the mean over the held-out images, which are paired."""
    lines = [
        f"Translations of {len(both[0].source)} held-out images compared with the ground truth "
        "(PSNR in dB, SSIM: higher is better; L1: lower is better).",
        "",
        "| direction | translated by | PSNR | SSIM | L1 |",
        "| --- | --- | --: | --: | --: |",
    ]
    for direction in both:
        for name, images in direction.translated.items():
            measures = similarity.psnr, similarity.ssim, similarity.l1
            psnr, ssim, l1 = (measure(images, direction.truth).mean() for measure in measures)
            lines.append(f"| {direction.name} | {name} | {psnr:.2f} | {ssim:.3f} | {l1:.1f} |")
    return "\n".join(lines) + "\n"
