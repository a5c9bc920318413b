"""The palette: its formula, what pull does, and the colours that it starts from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.networks.palette import CLOSEST, LOOKED_AT, SHARPNESS, Palette
from minigrad.gradcheck import gradcheck


def palette(*colours: tuple[float, float, float]) -> Palette:
    result = Palette(len(colours))
    result.before_tanh.assign(np.arctanh(np.array(colours)))
    return result


def colours_of(result: Palette) -> np.ndarray:
    """The colours of a palette that has started from images, uint8 (count, 3)."""
    return np.rint((np.tanh(result.before_tanh.numpy()) / CLOSEST + 1) * 127.5).astype(np.uint8)


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


def test_a_palette_starts_from_the_most_common_colours_and_keeps_its_own_where_these_are_fewer() -> None:
    mg.manual_seed(0)
    drawing = np.zeros((5, 3, 8, 8), np.uint8)
    drawing[:, 0, :4], drawing[:, 2, 4:, :2] = 200, 100
    network = Palette(5)
    own = network.before_tanh.numpy()[3:].copy()
    network.start_from(drawing)
    assert {tuple(row) for row in colours_of(network)[:3]} == {(200, 0, 0), (0, 0, 0), (0, 0, 100)}
    np.testing.assert_array_equal(network.before_tanh.numpy()[3:], own)


def test_many_colours_are_reduced_to_as_many_as_the_palette_has() -> None:
    network = Palette(16)
    network.start_from(np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8))
    assert len(np.unique(colours_of(network), axis=0)) == 16


@pytest.mark.parametrize("count", [1, LOOKED_AT - 1, LOOKED_AT, LOOKED_AT + 1, 3 * LOOKED_AT])
def test_images_of_any_number_are_looked_at_from_the_first_on(count: int) -> None:
    images = np.zeros((count, 3, 4, 4), np.uint8)
    images[0] = 255
    network = Palette(2)
    network.start_from(images)
    assert (255, 255, 255) in {tuple(row) for row in colours_of(network)}
