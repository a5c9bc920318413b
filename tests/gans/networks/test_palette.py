"""The palette: its formula, what pull does, and the colours that it starts from."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.networks.palette import CLOSEST, LOOKED_AT, SHARPNESS, Palette, most_common_colours
from minigrad.gradcheck import gradcheck


def palette(*colours: tuple[float, float, float]) -> Palette:
    result = Palette(len(colours))
    result.before_tanh.assign(np.arctanh(np.array(colours)))
    return result


def colours_of(result: Palette) -> np.ndarray:
    """The colours of a palette, in [0, 255]."""
    return (np.tanh(result.before_tanh.numpy()) + 1) * 127.5


def image(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(-1, 1, shape).astype(np.float32)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_output_is_x_moved_towards_a_soft_choice_of_the_nearest_colour(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    colours, x, pull = image(rng, count, 3) * 0.9, image(rng, 2, 3, 3, 4), rng.random((2, 1, 3, 4)).astype(np.float32)
    distances = ((x[:, None] - colours[None, :, :, None, None]) ** 2).sum(axis=2)
    weights = np.exp(-SHARPNESS * (distances - distances.min(axis=1, keepdims=True)))
    nearest = np.einsum("nkhw,kc->nchw", weights / weights.sum(axis=1, keepdims=True), colours)
    y = palette(*colours)(mg.Tensor(x), mg.Tensor(pull))
    np.testing.assert_allclose(y.numpy(), (1 - pull) * x + pull * nearest, atol=1e-4)


def test_a_full_pull_gives_all_that_is_near_a_colour_exactly_that_colour() -> None:
    red, grey = (0.9, -0.9, -0.9), (0.0, 0.0, 0.0)
    x = np.array([red, grey], np.float32).T[None, :, :, None] + image(np.random.default_rng(0), 1, 3, 2, 50) * 0.1
    y = palette(red, grey)(mg.Tensor(x), mg.Tensor(np.ones((1, 1, 2, 50), np.float32))).numpy()
    np.testing.assert_allclose(y[0, :, 0].T, np.tile(red, (50, 1)), atol=1e-6)
    np.testing.assert_allclose(y[0, :, 1].T, np.tile(grey, (50, 1)), atol=1e-6)


def test_without_pull_nothing_changes() -> None:
    x = image(np.random.default_rng(0), 1, 3, 4, 4)
    y = Palette(3)(mg.Tensor(x), mg.Tensor(np.zeros((1, 1, 4, 4), np.float32)))
    np.testing.assert_array_equal(y.numpy(), x)


def test_colours_input_and_pull_get_the_gradients_of_finite_differences() -> None:
    mg.manual_seed(0)
    network, rng = Palette(3), np.random.default_rng(0)
    colours = mg.Tensor(rng.normal(size=(3, 3)), requires_grad=True)

    def output(x: mg.Tensor, pull: mg.Tensor, colours: mg.Tensor) -> mg.Tensor:
        vars(network)["before_tanh"] = colours
        return network(x, pull)

    x, pull = (mg.Tensor(rng.uniform(0, 1, (1, channels, 2, 2)), requires_grad=True) for channels in (3, 1))
    gradcheck(output, [x, pull, colours])


def drawing(*colours: tuple[int, int, int], size: int = 8) -> np.ndarray:
    """One image, (1, 3, size, size): stripes of these colours, the first more often than the second, and so on."""
    some = [colour for i, colour in enumerate(colours) for _ in range(len(colours) - i)]
    return np.resize(np.array(some, np.uint8), (size * size, 3)).reshape(1, size, size, 3).transpose(0, 3, 1, 2)


def test_a_palette_starts_from_the_most_common_colours_and_keeps_its_own_where_these_are_fewer() -> None:
    mg.manual_seed(0)
    network = Palette(5)
    assert repr(network).startswith("Palette(5)")
    own = network.before_tanh.numpy()[3:].copy()
    network.start_from(drawing((200, 0, 0), (40, 90, 30), (0, 0, 100)))
    found = colours_of(network)[:3]
    expected = 127.5 + CLOSEST * (np.array([(0, 0, 100), (40, 90, 30), (200, 0, 0)]) - 127.5)
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], expected, atol=0.01)
    np.testing.assert_array_equal(network.before_tanh.numpy()[3:], own)


def test_similar_colours_are_one_group_with_the_mean_of_its_pixels() -> None:
    images = drawing((100, 100, 100), (104, 104, 104))
    np.testing.assert_allclose(most_common_colours(images, 16), [images.mean(axis=(0, 2, 3))], atol=1)


def test_many_colours_are_reduced_to_at_most_as_many_and_all_are_near_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    found, pixels = most_common_colours(images, 64), images.transpose(0, 2, 3, 1).reshape(-1, 3)
    assert 48 <= len(found) <= 64 and len(np.unique(found, axis=0)) == len(found)
    distances = np.linalg.norm(pixels[:, None].astype(float) - found, axis=2).min(axis=1)
    assert np.median(distances) < 64, "a quarter of the range: 4 x 4 x 4 colours"


@pytest.mark.parametrize("count", [1, LOOKED_AT - 1, LOOKED_AT, LOOKED_AT + 1, 3 * LOOKED_AT])
def test_images_are_looked_at_from_the_first_to_the_last_third(count: int) -> None:
    images = np.zeros((count, 3, 4, 4), np.uint8)
    images[0], images[-count // 3 :, 0] = 255, 200
    found = {tuple(row) for row in most_common_colours(images, 4).tolist()}
    assert found >= ({(200, 255, 255)} if count == 1 else {(255, 255, 255), (200, 0, 0)})


def test_a_palette_on_a_gpu_starts_from_the_same_colours() -> None:
    images = drawing((200, 0, 0), (0, 0, 100))
    here = Palette(2)
    here.start_from(images)
    with fake_cupy.installed():
        there = Palette(2).to("cupy")
        there.start_from(images)
        np.testing.assert_array_equal(there.before_tanh.numpy(), here.before_tanh.numpy())
