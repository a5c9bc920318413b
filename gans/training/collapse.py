"""An alarm for mode collapse: the images of the fixed noise become alike."""

from __future__ import annotations

import sys

import numpy as np

DIVERSE, COLLAPSED = 0.5, 0.25  # of the diversity of real images: above the first, a run can collapse; below the second, it has


def diversity(images: np.ndarray) -> float:
    """How much images (n, channels, height, width) differ: the root mean square over pixels of their standard deviation.

    Times the square root of 2, it is the root mean square difference of two of them.
    """
    return float(np.sqrt(images.astype(np.float64).var(axis=0, ddof=1).mean())) if len(images) > 1 else 0.0


class CollapseAlarm:
    """Writes one line on stderr when images that were diverse no longer are, once for each fall.

    A run that has not been diverse yet raises no alarm: the first images of all generators are alike.
    """

    def __init__(self, real: np.ndarray) -> None:
        self.real = diversity(real)
        self.diverse: tuple[int, float] | None = None  # the last step with diverse images, and how diverse; None after a fall

    def see(self, step: int, images: np.ndarray) -> None:
        """Look at the images of the fixed noise after a step, uint8 as the real ones."""
        share = diversity(images) / self.real if self.real else 1.0
        if share >= DIVERSE:
            self.diverse = step, share
        elif share < COLLAPSED and self.diverse:
            (before, earlier), self.diverse = self.diverse, None
            from tqdm import tqdm

            tqdm.write(
                f"step {step}: mode collapse? Images of the fixed noise differ by {100 * share:.0f} % of what real ones do; "
                f"at step {before} it was {100 * earlier:.0f} %.",
                file=sys.stderr,
            )
