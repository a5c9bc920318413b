"""The palette: its formula, what pull does, and the colours that it starts from."""

from __future__ import annotations

from collections import Counter

import fake_cupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.networks.palette import APART, LOOKED_AT, SHARPNESS, Palette, most_common_colours
from minigrad.gradcheck import gradcheck


def palette(*colours: tuple[float, float, float]) -> Palette:
    result = Palette(len(colours))
    result.load_state_dict({"colours": np.array(colours, np.float32)})
    return result


def colours_of(result: Palette) -> np.ndarray:
    """The colours of a palette, in [0, 255]."""
    return (result.colours.numpy() + 1) * 127.5


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


def test_input_and_pull_get_the_gradients_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    network = palette(*image(rng, 3, 3))
    gradcheck(network, [mg.Tensor(rng.uniform(0, 1, (1, channels, 2, 2)), requires_grad=True) for channels in (3, 1)])


def test_training_keeps_the_colours() -> None:
    assert list(Palette(3).parameters()) == []
    assert list(Palette(3).state_dict()) == ["colours"]


def drawing(*colours: tuple[int, int, int], size: int = 8) -> np.ndarray:
    """One image, (1, 3, size, size): stripes of these colours, the first more often than the second, and so on."""
    some = [colour for i, colour in enumerate(colours) for _ in range(len(colours) - i)]
    return np.resize(np.array(some, np.uint8), (size * size, 3)).reshape(1, size, size, 3).transpose(0, 3, 1, 2)


RED, GREEN, BLUE = (200, 0, 0), (40, 90, 30), (0, 0, 100)


def test_a_palette_takes_the_most_common_colours_exactly() -> None:
    network = Palette(2)
    assert repr(network).startswith("Palette(2)")
    network.take_from(drawing(RED, GREEN, BLUE))
    np.testing.assert_allclose(colours_of(network), [RED, GREEN], atol=1e-4)


def test_where_images_have_fewer_colours_the_others_are_not_used() -> None:
    network, exact = Palette(5), Palette(3)
    for each in (network, exact):
        each.take_from(drawing(RED, GREEN, BLUE))
    x, pull = mg.Tensor(image(np.random.default_rng(0), 1, 3, 20, 20)), mg.Tensor(np.ones((1, 1, 20, 20), np.float32))
    np.testing.assert_allclose(network(x, pull).numpy(), exact(x, pull).numpy(), atol=1e-6)


def test_a_colour_is_painted_as_itself_also_beside_the_most_similar_one() -> None:
    grey, next_to_it = (100, 100, 100), (100, 100, 100 + APART)
    network = Palette(2)
    network.take_from(drawing(grey, next_to_it))
    x = mg.Tensor(drawing(grey) / np.float32(127.5) - 1)
    painted = (network(x, mg.Tensor(np.ones((1, 1, 8, 8), np.float32))).numpy() + 1) * 127.5
    np.testing.assert_allclose(painted, drawing(grey), atol=1)


def test_of_similar_colours_only_the_most_common_counts() -> None:
    grey, similar, other = (100, 100, 100), (100 + APART - 1, 100 - APART + 1, 100), (100, 100, 100 + APART)
    np.testing.assert_array_equal(most_common_colours(drawing(grey, similar, other), 16), [grey, other])


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_found_colours_are_colours_of_the_images_in_the_order_of_their_frequency_and_apart(count: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 8, (2, 3, 6, 6), dtype=np.uint8) * 9  # 0, 9, ..., 63
    found = most_common_colours(images, count).astype(int)
    times = Counter(map(tuple, images.transpose(0, 2, 3, 1).reshape(-1, 3).tolist()))
    frequencies = [times[tuple(colour)] for colour in found.tolist()]
    assert 0 not in frequencies and frequencies == sorted(frequencies, reverse=True)
    assert all(abs(found[:i] - found[i]).max(axis=1).min() >= APART for i in range(1, len(found)))
    near_one = [abs(found - colour).max(axis=1).min() < APART for colour in times]
    assert len(found) == count or (len(found) < count and all(near_one))


@pytest.mark.parametrize("count", [1, LOOKED_AT - 1, LOOKED_AT, LOOKED_AT + 1, 3 * LOOKED_AT])
def test_images_are_looked_at_from_the_first_to_the_last_third(count: int) -> None:
    images = np.zeros((count, 3, 4, 4), np.uint8)
    images[0], images[-count // 3 :, 0] = 255, 200
    found = {tuple(row) for row in most_common_colours(images, 4).tolist()}
    assert found >= ({(200, 255, 255)} if count == 1 else {(255, 255, 255), (200, 0, 0)})


def test_a_palette_on_a_gpu_takes_the_same_colours() -> None:
    images = drawing(RED, BLUE)
    here = Palette(2)
    here.take_from(images)
    with fake_cupy.installed():
        there = Palette(2).to("cupy")
        there.take_from(images)
        np.testing.assert_array_equal(there.colours.numpy(), here.colours.numpy())
