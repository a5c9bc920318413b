"""The training images at a given size: MNIST's digits, Stacked MNIST, a folder of images, or synthetic faces."""

from __future__ import annotations

import numpy as np

from gans.data.cache import cache_folder, cached
from gans.data.errors import DataError
from gans.data.folder import load_folder
from gans.data.mnist import load_mnist

MNIST_SIZE = 28  # pixels; images of this size are always digits, and no other data set has it


def load_training_images(data: str | None, image_size: int, channels: int = 1, for_digits: str = "") -> tuple[np.ndarray, str]:
    """Images uint8 (n, channels, image_size, image_size), and a description of their source for the log.

    At size 28 these are MNIST's grey digits, from wherever `load_mnist(data)` finds them, or with three
    channels Stacked MNIST, which `stacked` makes of them. At any other size they are the RGB images in
    the folder `data`, or without a folder the synthetic faces.

    Raises DataError if `data` cannot be used. The sentence names the flag `for_digits`, with which a trainer takes digits.
    """
    if image_size == MNIST_SIZE:
        try:
            digits = load_mnist(data)
        except DataError as error:
            raise DataError(
                f"{error} (gans.dcgan and gans.wgan_gp take folders of images, with another --arch or --image-size.)"
            ) from error
        if channels == 3:
            return stacked(digits.images), f"three random digits of {digits.source} as the colour channels of each"
        return digits.images[:, None], digits.source
    if data is None:
        return load_faces(image_size)
    try:
        return load_folder(data, image_size)
    except DataError as error:
        hint = f" (For MNIST's files, use {for_digits}.)" if for_digits else ""
        raise DataError(f"{error}{hint}") from error


def stacked(digits: np.ndarray, count: int | None = None, seed: int = 0) -> np.ndarray:
    """Stacked MNIST: `count` images (count, 3, 28, 28), each with three random digits of (n, 28, 28) as its channels.

    Without a count there are as many images as digits.
    The digits 1, 2 and 3 are one of 1,000 modes, 123. Source: Metz et al., "Unrolled generative adversarial networks",
    ICLR 2017.
    """
    return digits[np.random.default_rng(seed).integers(len(digits), size=(count or len(digits), 3))]


def load_faces(image_size: int, count: int = 10_000, seed: int = 0) -> tuple[np.ndarray, str]:
    """The synthetic faces, uint8 (count, 3, image_size, image_size), from the cache or drawn; and a description."""

    def draw() -> list[np.ndarray]:
        from gans.data.drawn.faces import synthetic_faces

        return [synthetic_faces(count, seed, image_size)[0]]

    shape = (count, 3, image_size, image_size)
    (images,) = cached(cache_folder("faces"), "faces", {f"{count}-faces-of-{image_size}-seed-{seed}": shape}, draw)
    return images, f"{count:,} synthetic faces (seed {seed})"
