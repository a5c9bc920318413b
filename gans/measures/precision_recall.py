"""Precision and recall: how many generated images look real, and how much of the real variety is generated.

Around each image, a ball in feature space reaches to its k-th nearest neighbour in its own set. The balls of a set
estimate where its distribution lies. Precision is the share of generated images in the balls of the real ones,
recall the share of real images in the balls of the generated ones.

Source: Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
algorithm 1.
"""

from __future__ import annotations

import numpy as np

from gans.measures.nearest import BLOCK, Floats, squared_distances

NEIGHBOURS = 3  # the paper's k


def precision_recall(generated: Floats, real: Floats, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Precision and recall of features (n, d) and (m, d). Take n = m: more images have smaller balls."""
    if min(len(generated), len(real)) <= k:
        raise ValueError(f"precision_recall: {len(generated)} and {len(real)} images are too few for {k} neighbours")
    generated_reach, real_reach = _reach(generated, k), _reach(real, k)
    recalled, precise = np.zeros(len(real), bool), 0
    for start in range(0, len(generated), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = squared_distances(generated[rows], real)
        precise += int((distances <= real_reach).any(1).sum())
        recalled |= (distances <= generated_reach[rows, None]).any(0)
    return precise / len(generated), float(recalled.mean())


def _reach(features: Floats, k: int) -> Floats:
    """For each row, the squared distance to its k-th nearest other row."""
    blocks = []
    for start in range(0, len(features), BLOCK):
        distances = squared_distances(features[start : start + BLOCK], features)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf  # itself
        blocks.append(np.partition(distances, k - 1, axis=1)[:, k - 1])
    return np.concatenate(blocks)
