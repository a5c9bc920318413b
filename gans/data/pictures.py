"""The training images of a given size: digits, a folder of pictures, or drawn faces."""

from __future__ import annotations

import numpy as np

from gans.data.drawn.faces import load_faces
from gans.data.errors import DataError
from gans.data.folder import load_folder
from gans.data.mnist import load_mnist

DIGITS = 28  # pixels: the size of MNIST's images, and of nothing else here


def load_pictures(data: str | None, image_size: int) -> tuple[np.ndarray, str]:
    """Images uint8 (n, channels, image_size, image_size), and where they come from.

    Of 28 pixels: MNIST, grey, as `load_mnist` finds it. Of any other size: the pictures in the folder `data`, in colour, or
    without one the synthetic faces. DataError where there is nothing to train on.
    """
    if image_size == DIGITS:
        try:
            digits = load_mnist(data)
        except DataError as error:
            raise DataError(f"{error} (For a folder of pictures take another --arch or --image-size.)") from error
        return digits.images[:, None], digits.source
    if data is None:
        faces = load_faces(image_size)
        return faces.images, faces.source
    try:
        return load_folder(data, image_size)
    except DataError as error:
        raise DataError(f"{error} (For MNIST's files take --arch 28, or --image-size 28.)") from error
