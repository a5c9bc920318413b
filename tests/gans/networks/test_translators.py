"""CycleGAN's networks: sizes, padding, receptive fields, initial weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from gans.networks.translators import (
    NORMS,
    ColourWaves,
    MeanOfPatches,
    Retouching,
    UNetLevel,
    patch_discriminator,
    resnet_generator,
    retouching_generator,
    unet_generator,
    unet_halvings,
)
from minigrad import nn
from minigrad.arrays.layout import channels_last

UPSAMPLES = ("transpose", "resize")


def count(network: nn.Module) -> int:
    return sum(p.size for p in network.parameters())


def noise(*shape: int) -> mg.Tensor:
    return mg.Tensor(channels_last(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)))


def no_norm(channels: int) -> nn.Module:
    return nn.Sequential()


def of(network: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kinds)]


def generator(
    name: str, upsample: str = "transpose", norm: str = "instance", halvings: int = 5, colour_waves: int = 0
) -> nn.Module:
    mg.manual_seed(0)
    settings = 2, NORMS[norm], upsample, colour_waves
    if name in ("unet", "retouch"):
        return (unet_generator if name == "unet" else retouching_generator)(halvings, *settings)
    return resnet_generator(int(name.removeprefix("resnet")), *settings)


# --- sizes


def test_the_networks_have_the_papers_parameter_counts() -> None:
    instance = NORMS["instance"]
    assert count(resnet_generator(9, 64, instance, "transpose")) == 11_378_179
    assert count(resnet_generator(6, 64, instance, "transpose")) == 7_837_699
    assert count(patch_discriminator(64, instance)) == 2_764_737


def test_colour_waves_are_the_colours_and_sines_and_cosines_of_doubled_frequencies() -> None:
    x = noise(2, 3, 4, 5)
    angles = [np.pi * x.data * frequency for frequency in (1, 2, 4)]
    expected = np.concatenate([x.data, *[wave(angle) for angle in angles for wave in (np.sin, np.cos)]], axis=1)
    np.testing.assert_allclose(ColourWaves(3)(x).data, expected, atol=1e-6)


def test_a_discriminator_with_colour_waves_has_more_input_channels_and_the_same_output() -> None:
    plain, waves = (patch_discriminator(2, NORMS["instance"], colour_waves) for colour_waves in (0, 2))
    assert count(waves) - count(plain) == 2 * 4 * 4 * 3 * 4, "width, kernel, colours, waves of each"
    assert waves(noise(1, 3, 64, 64)).shape == plain(noise(1, 3, 64, 64)).shape


@pytest.mark.parametrize("name", ["resnet1", "unet", "retouch"])
def test_a_generator_with_colour_waves_has_more_input_channels_and_the_same_output(name: str) -> None:
    plain, waves = (generator(name, colour_waves=colour_waves) for colour_waves in (0, 2))
    kernel = 7 if name == "resnet1" else 4
    assert count(waves) - count(plain) == 2 * kernel * kernel * 3 * 4, "width, kernel, colours, waves of each"
    assert waves(noise(1, 3, 64, 64)).shape == plain(noise(1, 3, 64, 64)).shape


def test_the_u_net_has_the_parameters_of_its_layers() -> None:
    down = [3, 8, 16, 32, 64, 64, 64, 64, 64]
    up = [(64, 64), *[(128, 64)] * 3, (128, 32), (64, 16), (32, 8), (16, 3)]
    expected = sum(16 * a * b + b for a, b in [*pairwise(down), *up])
    assert count(unet_generator(8, 8, NORMS["instance"], "transpose")) == expected


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("name", ["resnet6", "resnet9", "unet", "retouch"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 64)])
def test_generators_keep_the_size_of_images_and_stay_in_minus_one_to_one(
    name: str, upsample: str, norm: str, height: int, width: int
) -> None:
    with mg.no_grad():
        y = generator(name, upsample, norm)(noise(2, 3, height, width)).numpy()
    assert y.shape == (2, 3, height, width) and y.dtype == np.float32
    assert np.abs(y).max() < 1
    assert y.std() > 1e-4


@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 8), (20, 36)])
def test_a_resnet_takes_multiples_of_4_from_8_pixels_on(upsample: str, height: int, width: int) -> None:
    with mg.no_grad():
        y = generator("resnet6", upsample)(noise(1, 3, height, width)).numpy()
    assert y.shape == (1, 3, height, width) and np.isfinite(y).all()


@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize(("halvings", "height", "width"), [(3, 8, 8), (3, 8, 40), (5, 96, 32), (8, 256, 256), (8, 256, 512)])
def test_a_u_net_takes_multiples_of_its_smallest_size(upsample: str, halvings: int, height: int, width: int) -> None:
    with mg.no_grad():
        y = generator("unet", upsample, halvings=halvings)(noise(1, 3, height, width)).numpy()
    assert y.shape == (1, 3, height, width) and np.isfinite(y).all()


@pytest.mark.parametrize(
    ("size", "halvings"), [(32, 5), (64, 6), (128, 7), (256, 8), (512, 8), (1024, 8), (40, 3), (96, 5), (36, 2), (33, 0)]
)
def test_a_size_is_halved_while_it_is_even_and_at_most_8_times(size: int, halvings: int) -> None:
    assert unet_halvings(size) == halvings


# --- layers


@pytest.mark.parametrize(("name", "blocks"), [("resnet6", 6), ("resnet9", 9)])
def test_a_resnet_uses_reflection_padding(name: str, blocks: int) -> None:
    network = generator(name)
    assert len(of(network, nn.ReflectionPad2d)) == 2 * blocks + 2
    at_full_size = [layer for layer in of(network, nn.Conv2d) if layer.weight.shape[2] == 7 or layer.weight.shape[:2] == (8, 8)]
    assert len(at_full_size) == 2 * blocks + 2
    assert {layer.padding for layer in at_full_size} <= {0, (0, 0)}


def test_a_residual_block_adds_to_its_input() -> None:
    network = generator("resnet6")
    blocks = [module for module in network if type(module).__name__ == "ResidualBlock"]
    x = noise(1, 8, 8, 8)
    with mg.no_grad():
        for block in blocks:
            np.testing.assert_allclose(block(x).numpy(), x.numpy() + block.body(x).numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["resnet6", "unet"])
def test_the_upsampling_mode_is_used_everywhere(name: str) -> None:
    resizing, transposing = generator(name, "resize"), generator(name, "transpose")
    steps = 2 if name == "resnet6" else 5
    assert (len(of(resizing, nn.Upsample)), of(resizing, nn.ConvTranspose2d)) == (steps, [])
    assert (len(of(transposing, nn.ConvTranspose2d)), of(transposing, nn.Upsample)) == (steps, [])


@pytest.mark.parametrize("norm", NORMS)
def test_only_the_chosen_normalisation_is_used(norm: str) -> None:
    other = NORMS["batch" if norm == "instance" else "instance"]
    for network, layers in (
        (generator("resnet6", norm=norm), 17), (generator("unet", norm=norm), 7), (patch_discriminator(2, NORMS[norm]), 3),
    ):  # fmt: skip
        assert len(of(network, NORMS[norm])) == layers
        assert not of(network, other)


def test_each_level_of_a_u_net_has_a_skip_connection() -> None:
    network = generator("unet")
    levels = of(network, UNetLevel)
    assert len(levels) == 4
    for level in levels:
        channels = level.down[1].weight.shape[1]
        x = noise(1, channels, 16, 16)
        with mg.no_grad():
            y = level(x).numpy()
        assert y.shape == (1, 2 * channels, 16, 16)
        np.testing.assert_array_equal(y[:, :channels], x.numpy())


@pytest.mark.parametrize("name", ["resnet9", "unet", "discriminator"])
def test_initial_weights_are_narrow_and_biases_zero(name: str) -> None:
    mg.manual_seed(0)
    network = {
        "resnet9": lambda: resnet_generator(9, 16, NORMS["batch"], "transpose"),
        "unet": lambda: unet_generator(5, 16, NORMS["batch"], "transpose"),
        "discriminator": lambda: patch_discriminator(16, NORMS["batch"]),
    }[name]()
    for layer in of(network, nn.Conv2d, nn.ConvTranspose2d):
        assert abs(layer.weight.data.mean()) < 5 * 0.02 / layer.weight.size**0.5
        assert layer.weight.data.std() == pytest.approx(0.02, rel=5 / layer.weight.size**0.5)
        assert not layer.bias.data.any()
    gains = np.concatenate([layer.weight.data for layer in of(network, nn.BatchNorm2d)])
    assert gains.mean() == pytest.approx(1, abs=0.01) and gains.std() == pytest.approx(0.02, rel=0.3)


# --- the discriminator


@pytest.mark.parametrize(("size", "logits"), [(32, 2), (64, 6), (70, 6), (128, 14), (256, 30)])
def test_a_discriminator_gives_a_map_of_logits(size: int, logits: int) -> None:
    with mg.no_grad():
        assert patch_discriminator(2, NORMS["instance"])(noise(2, 3, size, size + 8)).shape == (2, 1, logits, logits + 1)


def receptive_field(network: nn.Module, x: mg.Tensor, row: int, column: int) -> tuple[int, int, int, int]:
    """The first and last row, and the first and last column, on which a logit depends."""
    x = mg.Tensor(x.data, requires_grad=True)
    (slope,) = mg.grad(network(x)[0, 0, row, column], [x])
    rows, columns = (np.flatnonzero(slope.numpy()[0].any(axis=(0, axis))) for axis in (2, 1))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def test_receptive_fields_are_70_pixels_wide_and_8_pixels_apart() -> None:
    mg.manual_seed(0)
    network, x = patch_discriminator(4, no_norm), noise(1, 3, 128, 128)
    first, last, left, right = receptive_field(network, x, 5, 6)
    assert (last - first + 1, right - left + 1) == (70, 70)
    assert receptive_field(network, x, 6, 6) == (first + 8, last + 8, left, right)
    assert receptive_field(network, x, 5, 7) == (first, last, left + 8, right + 8)


def test_changing_a_pixel_changes_exactly_the_logits_whose_receptive_field_contains_it() -> None:
    mg.manual_seed(0)
    network, x = patch_discriminator(4, no_norm), noise(1, 3, 128, 128)
    with mg.no_grad():
        before = network(x).numpy()
        x.data[0, :, 60, 70] += 0.5
        moved = (network(x).numpy() != before)[0, 0]
    expected = np.zeros_like(moved)
    for row in range(len(moved)):
        for column in range(len(moved)):
            top, bottom, left, right = 8 * row - 23, 8 * row + 46, 8 * column - 23, 8 * column + 46
            expected[row, column] = top <= 60 <= bottom and left <= 70 <= right
    np.testing.assert_array_equal(moved, expected)


def test_the_mean_of_patches_is_one_score_per_image() -> None:
    x = noise(3, 1, 4, 5)
    np.testing.assert_allclose(MeanOfPatches()(x).numpy(), x.numpy().mean(axis=(1, 2, 3))[:, None], rtol=1e-5)
    assert MeanOfPatches()(x).shape == (3, 1)


def test_a_retouching_generator_keeps_the_image_where_its_change_is_0() -> None:
    network = generator("retouch")
    for parameter in network.parameters():
        parameter.assign(np.zeros(parameter.shape, parameter.dtype))
    x = mg.Tensor(np.linspace(-1, 1, 3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32))
    np.testing.assert_allclose(network(x).numpy(), 0.98 * x.numpy(), atol=1e-6)


def test_a_retouching_generator_applies_gains_and_offsets_before_the_tanh() -> None:
    network = generator("retouch")
    x = noise(1, 3, 32, 32)
    x = mg.Tensor(np.tanh(x.numpy()))
    with mg.no_grad():
        offset, gain = np.split(network.change(x).numpy(), 2, axis=1)
        assert np.abs(gain).max() > 1e-3
        expected = np.tanh((1 + gain) * np.arctanh(0.98 * x.numpy()) + offset)
        np.testing.assert_allclose(network(x).numpy(), expected, atol=1e-6)


def test_a_palette_pulls_what_was_retouched_by_the_sigmoid_of_the_seventh_channel() -> None:
    mg.manual_seed(0)
    network = retouching_generator(5, 2, NORMS["instance"], "resize", palette=4)
    x = mg.Tensor(np.tanh(noise(1, 3, 32, 32).numpy()))
    with mg.no_grad():
        change = network.change(x)
        assert change.shape == (1, 7, 32, 32)
        retouched = Retouching(lambda _: change[:, :6])(x)
        pull = 1 / (1 + np.exp(-change.numpy()[:, 6:]))
        expected = network.palette(retouched, mg.Tensor(pull)).numpy()
        np.testing.assert_allclose(network(x).numpy(), expected, atol=1e-6)
        assert np.abs(expected - retouched.numpy()).mean() > 0.05
