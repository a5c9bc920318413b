"""The sentence for a folder of MNIST's files where images are expected."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gans.data.errors import DataError
from gans.trainers import trainer_named
from gans.training.config import parse
from gans.training.latent import LatentTrainer

COLOUR = "--arch", "conv", "--image-size", "64"


def trainer(name: str, *flags: str) -> LatentTrainer:
    kind = trainer_named(name)
    config, _ = parse(kind.config_class, name, ["--backend", "numpy", *flags])
    made = kind(config)
    assert isinstance(made, LatentTrainer)
    return made


@pytest.mark.parametrize(
    ("name", "flags"),
    [("dcgan", ()), ("lsgan", ()), ("softmax_gan", ()), ("hinge_gan", COLOUR), ("wgan", COLOUR), ("wgan_gp", COLOUR)],
)
def test_the_flag_that_it_names_makes_this_trainer_take_them(name: str, flags: tuple[str, ...], digits: Path) -> None:
    given = ("--data", str(digits), *flags)
    with pytest.raises(DataError) as refused:
        trainer(name, *given).load_images()
    (flag,) = re.findall(r"\(For MNIST's files, use (--.*)\.\)", str(refused.value))
    assert trainer(name, *given, *flag.split()).load_images()[0].shape == (72, 1, 28, 28)
