"""Batches are shuffled, depend only on the seed and the step, and hold scaled images."""

from __future__ import annotations

import numpy as np
import pytest

from gans.data.batches import Batches
from gans.data.errors import DataError

IMAGES = np.arange(70, dtype=np.uint8).reshape(70, 1, 1, 1).repeat(3, axis=2)  # every pixel of image i is i


def indices(batches: Batches, step: int) -> list[int]:
    """The indices of the images in the batch of `step`."""
    pixels = np.rint((batches[step][0].numpy() + 1) * 127.5).astype(int)
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, 0, 0, 0].tolist()


def epoch(batches: Batches, number: int) -> list[int]:
    """The indices of the images of a whole epoch, in order."""
    first = number * batches.per_epoch
    return [i for step in range(first, first + batches.per_epoch) for i in indices(batches, step)]


@pytest.mark.parametrize("batch_size", [1, 7, 35, 70])
def test_an_epoch_has_every_image_once_if_the_batch_size_divides_their_number(batch_size: int) -> None:
    batches = Batches(IMAGES, batch_size, seed=0)
    assert batches.per_epoch == 70 // batch_size
    for number in range(3):
        assert sorted(epoch(batches, number)) == list(range(70))


def test_no_image_repeats_within_an_epoch_and_each_epoch_skips_different_ones() -> None:
    batches = Batches(IMAGES, 16, seed=0)
    seen = [epoch(batches, number) for number in range(6)]
    assert all(len(set(each)) == len(each) == 64 for each in seen)
    skipped = {frozenset(range(70)) - frozenset(each) for each in seen}
    assert len(skipped) == 6
    assert set().union(*seen) == set(range(70))


def test_every_epoch_and_every_seed_has_its_own_shuffled_order() -> None:
    orders = [epoch(Batches(IMAGES, 10, seed), number) for seed in range(4) for number in range(4)]
    assert len({tuple(order) for order in orders}) == 16
    assert list(range(70)) not in orders


def test_a_batch_depends_only_on_the_seed_and_the_step() -> None:
    in_order = Batches(IMAGES, 16, seed=3)
    expected = {step: in_order[step][0].numpy() for step in range(20)}
    out_of_order = Batches(IMAGES, 16, seed=3)
    for step in (19, 0, 7, 7, 4, 3, 12, 11, 19):
        np.testing.assert_array_equal(out_of_order[step][0].numpy(), expected[step])


def test_making_a_batch_does_not_advance_global_random_generators() -> None:
    from minigrad import random

    np.random.seed(0)
    numpy_before, own_before = np.random.get_state()[1].copy(), random.default_generator.counter  # type: ignore[index]
    _ = Batches(IMAGES, 16, seed=0)[5]
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]
    assert random.default_generator.counter == own_before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_are_scaled_to_the_range_from_minus_one_to_one(dtype: type) -> None:
    every_byte = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    batch = Batches(every_byte, 256, seed=0, dtype=dtype)[0][0]
    values = np.sort(batch.numpy().ravel())
    assert values.dtype == dtype
    assert not batch.requires_grad
    assert values[0] == -1
    assert values[-1] <= 1
    np.testing.assert_allclose(values, np.arange(256) / 127.5 - 1, atol=2e-7 if dtype == np.float32 else 1e-15)


def test_batches_keep_the_shape_of_colour_images() -> None:
    assert Batches(np.zeros((5, 3, 8, 6), np.uint8), 2, seed=0)[1][0].shape == (2, 3, 8, 6)


def test_writing_to_a_batch_does_not_change_the_images() -> None:
    images = IMAGES.copy()
    batches = Batches(images, 16, seed=0)
    batches[0][0].data[...] = 9
    np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize("count", [0, 15])
def test_a_batch_larger_than_the_data_set_is_an_error_in_one_sentence(count: int) -> None:
    with pytest.raises(DataError, match=f"{count} images.*16.*--batch-size") as caught:
        Batches(IMAGES[:count], 16, seed=0)
    assert "\n" not in str(caught.value)


def test_a_seed_may_have_64_bits() -> None:
    assert sorted(epoch(Batches(IMAGES, 70, 2**64 - 1), 0)) == list(range(70))
