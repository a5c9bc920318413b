"""The settings of `gans.cyclegan`, and what follows from those that are given for those that are not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from gans.training.config import ConfigError, RunConfig, option
from gans.translators import NORMS, unet_halvings

PRESETS: dict[str, dict[str, int]] = {
    "paper": {"width": 64, "epochs": 200},
    "fast": {"width": 32, "epochs": 16, "image_size": 64},
}


@dataclass(frozen=True)
class Config(RunConfig):
    """Translate between two kinds of pictures: of a folder, or landscapes by day and by night that the program draws."""

    data: str | None = option(None, "folder with trainA/ and trainB/ (and testA/, testB/); without it: drawn landscapes")
    preset: str = option(
        "paper", "paper: its networks, 200 epochs; fast: half as wide, 64 x 64, 16 epochs, for a CPU", choices=tuple(PRESETS)
    )
    epochs: int | None = option(None, "passes through the larger set; by preset 200 or 16", at_least=1)  # type: ignore[assignment]
    decay_epochs: int | None = option(None, "the last so many epochs, in which the rate falls to 0; half of them by default")
    batch_size: int = option(1, "images of each kind a step", at_least=1)
    image_size: int | None = option(None, "height and width; 64 with --preset fast or drawn landscapes, else 256", at_least=32)
    load_size: int | None = option(None, "pictures are loaded this large, then cropped; 286/256 of --image-size by default")
    no_mirror: bool = option(False, "do not exchange left and right at random")
    generator: str | None = option(
        None, "by default resnet6 for images of up to 128, resnet9 for larger ones", choices=("resnet6", "resnet9", "unet")
    )
    width: int | None = option(None, "channels of the first convolutions; by preset 64 or 32", at_least=1)
    norm: str = option("instance", "normalise over each image, or over the batch", choices=tuple(NORMS))
    upsample: str = option("transpose", "transposed convolutions, or resize and convolve", choices=("transpose", "resize"))
    gan_loss: str = option("lsgan", "what the discriminators are trained by", choices=("lsgan", "bce", "wgan-gp"))
    cycle: float = option(10.0, "weight of the cycles' distances")
    identity: float = option(0.5, "weight of what should stay as it is, as a share of the cycles'; 0 leaves it out")
    pool: int = option(50, "the last so many translations are shown to the discriminators; 0: only the newest")
    lr: float = option(2e-4, "learning rate of both optimizers")


def with_defaults(config: Config) -> Config:
    """The settings with those filled in that the command line left open. ConfigError if they do not go together."""

    def chosen(name: str, otherwise: int | str) -> Any:
        given = getattr(config, name)
        return PRESETS[config.preset].get(name, otherwise) if given is None else given

    size = chosen("image_size", 64 if config.data is None else 256)
    full = dataclasses.replace(
        config,
        image_size=size,
        load_size=chosen("load_size", round(size * 286 / 256)),
        width=chosen("width", 0),
        generator=chosen("generator", "resnet6" if size <= 128 else "resnet9"),
        epochs=chosen("epochs", 0),
    )
    _check(full)
    return full


def _check(config: Any) -> None:
    if config.load_size < config.image_size:
        raise ConfigError(
            f"--load-size {config.load_size} is less than --image-size {config.image_size}; it must have room for that"
        )
    if config.decay_epochs is not None and config.decay_epochs > config.epochs:
        raise ConfigError(f"--decay-epochs {config.decay_epochs} is more than the {config.epochs} of --epochs")
    if config.gan_loss == "wgan-gp" and config.norm == "batch":
        raise ConfigError(
            "--gan-loss wgan-gp needs the slope of a discriminator at each image by itself; --norm batch lets it see the others"
        )
    if config.generator == "unet" and unet_halvings(config.image_size) < 3:
        raise ConfigError(f"--generator unet needs an --image-size that is a multiple of 8, not {config.image_size}")
    if config.image_size % 4:
        raise ConfigError(f"--image-size {config.image_size} is not a multiple of 4, as the generators need it")
