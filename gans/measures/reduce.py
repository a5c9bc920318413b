"""Large images reduced before they are compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def reduced(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """Images (n, channels, height, width) of about `side` pixels a side, by averaging squares of pixels.

    Images with less than twice as many pixels a side stay as they are.
    """
    n, channels, height, width = images.shape
    factor = max(1, min(height, width) // side)
    down, across = height // factor, width // factor
    squares = images[:, :, : down * factor, : across * factor].reshape(n, channels, down, factor, across, factor)
    return squares.mean((3, 5), dtype=np.float32)
