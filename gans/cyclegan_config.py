"""The settings of `gans.cyclegan`, and what follows from those that are given for those that are not."""

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
    """Translate between two kinds of pictures: of a folder, or landscapes by day and by night that the program draws."""

    data: str | None = option(None, "folder with trainA/ and trainB/ (and testA/, testB/); without it: drawn landscapes")
    preset: str = option(
        "paper",
        "defaults: the paper's; or fast, for a CPU: smaller, 8 epochs, generators that retouch",
        choices=tuple(PRESETS),
    )
    epochs: int | None = option(None, "passes through the larger set; by preset 200 or 8", at_least=1)  # type: ignore[assignment]
    decay_epochs: int | None = option(None, "in the last N epochs the rate falls to 0; half of them by default")
    batch_size: int = option(1, "images of each kind a step", at_least=1)
    image_size: int | None = option(None, "height and width; 64 with --preset fast or drawn landscapes, else 256", at_least=32)
    load_size: int | None = option(None, "pictures are loaded this large, then cropped; 286/256 of --image-size by default")
    no_mirror: bool = option(False, "do not exchange left and right at random")
    generator: str | None = option(
        None,
        "resnet6 for images of up to 128, else resnet9; fast preset: retouch, a U-Net whose result is added to the picture",
        choices=("resnet6", "resnet9", *UNETS),
    )
    width: int | None = option(None, "channels of the first convolutions; by preset 64 or 32", at_least=1)
    norm: str = option("instance", "normalise over each image, or over the batch", choices=tuple(NORMS))
    upsample: str | None = option(
        None, "transposed convolutions, or resize and convolve; by preset transpose or resize", choices=("transpose", "resize")
    )
    gan_loss: str = option("lsgan", "what the discriminators are trained by", choices=("lsgan", "bce", "wgan-gp"))
    cycle: float = option(10.0, "weight of the cycles' distances")
    identity: float | None = option(
        None, "weight of what should stay as it is, as a share of the cycles'; by preset 0.5 or 0, which leaves it out"
    )
    pool: int = option(50, "older translations kept to show the discriminators half of the time; 0: only the newest")
    lr: float = option(2e-4, "learning rate of both optimizers")


def with_defaults(config: Config) -> Config:
    """The settings with those filled in that the command line left open. ConfigError if they do not go together."""

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
    if config.generator in UNETS and unet_halvings(config.image_size) < 3:
        raise ConfigError(
            f"--generator {config.generator} needs an --image-size that is a multiple of 8, not {config.image_size}"
        )
    if config.image_size % 4:
        raise ConfigError(f"--image-size {config.image_size} is not a multiple of 4, as the generators need it")
