"""How well a generator that is asked for a class draws it: whether the class shows, and quality and variety within it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gans.measures.nearest import Floats
from gans.measures.precision_recall import NEIGHBOURS, precision_recall

Labels = npt.NDArray[np.integer]

DESCRIPTIONS = {
    "read as the class": "share of the images asked for a class that the classifier reads as this class",
    "precision in the class": "the precision of these images among the real images of the class; low for bad images",
    "recall in the class": "the recall of the real images of the class; near 0 if the generator repeats one image",
}


def within_classes(
    features: Floats, read: Labels, asked: Labels, real_features: Floats, real_labels: Labels, classes: int
) -> dict[str, npt.NDArray[np.float64]]:
    """The measures of DESCRIPTIONS for each class, (classes,) each. NaN for a class with too few images.

    Parameters
    ----------
    features, read, asked : of the generated images, the classes that the classifier reads and those asked for
    real_features, real_labels : of the real images
    """
    rows: Floats = np.full((classes, len(DESCRIPTIONS)), np.nan)
    for c in range(classes):
        mine, real = np.flatnonzero(asked == c), np.flatnonzero(real_labels == c)
        count = min(len(mine), len(real))  # precision and recall compare as many images with as many
        if count > NEIGHBOURS:
            rows[c] = (read[mine] == c).mean(), *precision_recall(features[mine[:count]], real_features[real[:count]])
    return dict(zip(DESCRIPTIONS, rows.T, strict=True))
