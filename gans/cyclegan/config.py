"""The settings of CycleGAN, and how `with_defaults` fills in those that were not given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from gans.networks.translators import NORMS, unet_halvings
from gans.training.config import ConfigError, RunConfig, option

UNETS = ("unet", "retouch")
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"epochs": 200, "width": 64, "upsample": "transpose", "identity": 0.5},
    "fast": {"epochs": 8, "width": 32, "upsample": "resize", "identity": 0.0, "image_size": 64, "generator": "retouch"},
}


@dataclass(frozen=True)
class Config(RunConfig):
    """Translate between two domains of images: from a folder, or landscapes by day and by night that the program draws."""

    data: str | None = option(None, "folder with trainA/ and trainB/ (and testA/, testB/); by default drawn landscapes")
    preset: str = option(
        "paper",
        "defaults of other settings: the paper's; or fast, for a CPU: smaller, 8 epochs, retouch generators",
        choices=tuple(PRESETS),
    )
    epochs: int = option(None, "passes through the larger set; by preset 200 or 8", at_least=1)
    decay_epochs: int | None = option(None, "the learning rate falls to 0 in the last N epochs; by default half of all")
    batch_size: int = option(1, "images of each domain per step", at_least=1)
    image_size: int = option(
        None, "height and width; 64 with --preset fast or drawn landscapes, else 256", at_least=32, at_most=4096
    )
    load_size: int = option(None, "size of images before cropping; by default 286/256 of --image-size", at_most=8192)
    no_mirror: bool = option(False, "do not mirror images at random")
    generator: str = option(
        None,
        "by default resnet6 for images up to 128, else resnet9; retouch (preset fast): a U-Net that predicts a change",
        choices=("resnet6", "resnet9", *UNETS),
    )
    width: int = option(None, "channels of the first convolutions; by preset 64 or 32", at_least=1, at_most=1024)
    norm: str = option("instance", "normalise over each image, or over the batch", choices=tuple(NORMS))
    upsample: str = option(
        None, "transposed convolutions, or resize and convolve; by preset transpose or resize", choices=("transpose", "resize")
    )
    gan_loss: str = option(
        "lsgan",
        "adversarial loss; wgan: with clipped weights, wgan-gp: with a penalty",
        choices=("lsgan", "bce", "wgan", "wgan-gp"),
    )
    colour_waves: int = option(
        0,
        "Fourier features: the networks also see sines and cosines of the colours, of N frequencies, each twice the one "
        "before; 0: none. For domains that differ in their shades",
        at_most=8,
    )
    palette: int = option(
        0,
        "number of colours in a palette, towards which a retouch generator can pull each pixel: the most common ones of the "
        "domain that it paints; 0: no palette. For drawings in few colours",
        at_most=256,
    )
    cycle: float = option(10.0, "weight of the cycle losses")
    identity: float = option(
        None, "weight of the identity losses, relative to the cycle losses; by preset 0.5 or 0, which skips them"
    )
    pool: int = option(
        50, "earlier translations kept per domain, shown to the discriminators half of the time; 0: none", at_most=100_000
    )
    lr: float = option(2e-4, "learning rate of both optimizers")


def with_defaults(config: Config) -> Config:
    """Fill in every None that its type does not allow. ConfigError if settings contradict each other."""
    preset = {name: value for name, value in PRESETS[config.preset].items() if getattr(config, name) is None}
    config = dataclasses.replace(config, **preset)
    size = (64 if config.data is None else 256) if config.image_size is None else config.image_size
    full = dataclasses.replace(
        config,
        image_size=size,
        load_size=round(size * 286 / 256) if config.load_size is None else config.load_size,
        generator=("resnet6" if size <= 128 else "resnet9") if config.generator is None else config.generator,
    )
    _check(full)
    return full


def _check(config: Config) -> None:
    if config.load_size < config.image_size:
        raise ConfigError(f"--load-size {config.load_size} is less than --image-size {config.image_size}")
    if config.decay_epochs is not None and config.decay_epochs > config.epochs:
        raise ConfigError(f"--decay-epochs {config.decay_epochs} is more than the {config.epochs} of --epochs")
    if config.gan_loss == "wgan-gp" and config.norm == "batch":
        raise ConfigError(
            "--gan-loss wgan-gp needs the gradient of each score at its own image, but with --norm batch a score depends on "
            "the whole batch"
        )
    if config.palette and config.generator != "retouch":
        raise ConfigError(f"--palette is for --generator retouch, and this one is {config.generator}")
    if config.generator in UNETS and unet_halvings(config.image_size) < 3:
        raise ConfigError(
            f"--generator {config.generator} needs an --image-size that is a multiple of 8, not {config.image_size}"
        )
    if config.image_size % 4:
        raise ConfigError(f"--image-size {config.image_size} is not a multiple of 4, which the generators need")
