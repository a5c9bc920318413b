"""CycleGAN's settings: how defaults depend on other settings, and which settings contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from gans.cyclegan import CycleGAN
from gans.cyclegan.config import Config, with_defaults
from gans.training.config import ConfigError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"image_size": 64, "load_size": 72, "width": 64, "epochs": 200, "generator": "resnet6", "identity": 0.5}),
        ({"data": "x"}, {"image_size": 256, "load_size": 286, "width": 64, "epochs": 200, "generator": "resnet9"}),
        ({"data": "x", "preset": "fast"}, {"image_size": 64, "load_size": 72, "width": 32, "epochs": 8}),
        ({"preset": "fast"}, {"generator": "retouch", "identity": 0.0, "upsample": "resize"}),
        ({"preset": "fast", "width": 8, "epochs": 3}, {"width": 8, "epochs": 3, "upsample": "resize"}),
        ({"image_size": 128}, {"load_size": 143, "generator": "resnet6"}),
        ({"image_size": 132}, {"generator": "resnet9"}),
        ({"image_size": 128, "load_size": 128, "generator": "unet"}, {"load_size": 128, "generator": "unet"}),
        ({"epochs": 10, "decay_epochs": 0}, {"decay_epochs": 0}),
    ],
    ids=str,
)  # fmt: skip
def test_defaults_depend_on_the_given_settings(given: dict[str, Any], expected: dict[str, Any]) -> None:
    full = with_defaults(Config(**given))
    assert {name: getattr(full, name) for name in expected} == expected
    assert with_defaults(full) == full, "a resumed run has the same settings"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"load_size": 63}, "--load-size 63 is less than --image-size 64"),
        ({"load_size": 0}, "--load-size 0 is less"),
        ({"epochs": 3, "decay_epochs": 4}, "--decay-epochs 4 is more than the 3 of --epochs"),
        ({"gan_loss": "wgan-gp", "norm": "batch"}, "--gan-loss wgan-gp .* --norm batch"),
        ({"palette": 16}, "--palette is for --generator retouch, and this one is resnet6"),
        ({"image_size": 33}, "--image-size 33 is not a multiple of 4"),
        ({"image_size": 34}, "--image-size 34 is not a multiple of 4"),
        ({"image_size": 36, "generator": "unet"}, "--generator unet .* not 36"),
        ({"image_size": 36, "generator": "retouch"}, "--generator retouch .* not 36"),
        ({"image_size": 101, "generator": "unet"}, "--generator unet .* not 101"),
    ],
    ids=str,
)
def test_contradicting_settings_are_refused_in_one_sentence(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        CycleGAN(Config(backend="numpy", **given))
    assert "\n" not in str(caught.value)
