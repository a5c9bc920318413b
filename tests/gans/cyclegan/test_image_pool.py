"""The pool of earlier images: it fills up, then exchanges half of its input, and resumes from a saved state."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.cyclegan.image_pool import ImagePool
from minigrad import random
from minigrad.arrays.layout import channels_last

SHAPE = (3, 2, 4)


def pool(size: int, seed: tuple[int, ...] = (0, 0), dtype: Any = np.float32) -> ImagePool:
    return ImagePool(size, SHAPE, seed, "numpy", dtype)


def images(*values: float) -> mg.Tensor:
    """One constant image for each value."""
    return mg.Tensor(channels_last(np.stack([np.full(SHAPE, v, np.float32) for v in values])))


def values(batch: mg.Tensor | np.ndarray) -> list[float]:
    array = batch.numpy() if isinstance(batch, mg.Tensor) else batch
    assert (array == array[:, :1, :1, :1]).all(), "images are kept whole"
    return array[:, 0, 0, 0].tolist()


def exchanged(kept: ImagePool, count: int, first: int = 1) -> list[float]:
    """The images returned for images first, first + 1, ..., one at a time."""
    return [value for i in range(first, first + count) for value in values(kept.exchange(images(i)))]


def test_while_it_fills_it_returns_its_input() -> None:
    kept = pool(5)
    assert exchanged(kept, 5) == [1, 2, 3, 4, 5]
    assert values(kept.images) == [1, 2, 3, 4, 5]


def test_when_full_it_returns_an_older_image_half_of_the_time_from_all_slots_equally() -> None:
    kept, older, places = pool(5), 0, Counter[int]()
    exchanged(kept, 5)
    for i in range(6, 1206):
        before = values(kept.images)
        (back,) = values(kept.exchange(images(i)))
        if back != i:
            older += 1
            places[before.index(back)] += 1
    assert 540 < older < 660
    assert sum(places.values()) == older
    assert all(places[i] > 80 for i in range(5))


@given(st.integers(1, 6), st.lists(st.integers(1, 5), max_size=12), st.integers(0, 2**64 - 1))
def test_no_image_is_lost_or_duplicated(size: int, batches: list[int], seed: int) -> None:
    kept, came, went = pool(size, (seed, 1)), 0, list[float]()
    for n in batches:
        went += values(kept.exchange(images(*range(came + 1, came + n + 1))))
        came += n
    assert kept.seen == came
    inside = [value for value in values(kept.images) if value]
    assert len(inside) == min(size, came)
    # The first images are stored and also returned.
    assert Counter(inside) + Counter(went) == Counter(range(1, came + 1)) + Counter(range(1, min(size, came) + 1))


@given(st.integers(0, 4), st.lists(st.integers(1, 4), max_size=8))
def test_a_batch_is_exchanged_like_its_images_one_by_one(size: int, batches: list[int]) -> None:
    whole, single, first = pool(size), pool(size), 1
    for n in batches:
        assert values(whole.exchange(images(*range(first, first + n)))) == exchanged(single, n, first)
        first += n
    np.testing.assert_array_equal(whole.images, single.images)


def test_with_size_0_it_returns_its_input() -> None:
    kept = pool(0)
    assert exchanged(kept, 30) == list(range(1, 31))
    saved = {name: np.asarray(a) for name, a in kept.state_dict().items()}
    assert saved["images"].shape == (0, *SHAPE)
    pool(0).load_state_dict(saved)


@pytest.mark.parametrize("stop", [0, 3, 4, 5, 20])
def test_a_loaded_pool_continues_like_the_saved_one(stop: int) -> None:
    whole, first, second = pool(4), pool(4), pool(4)
    expected = exchanged(whole, 40)
    begin = exchanged(first, stop)
    saved = {name: np.array(a) for name, a in first.state_dict().items()}
    exchanged(second, 9, first=100)  # what it held before is gone
    second.load_state_dict(saved)
    assert begin + exchanged(second, 40 - stop, stop + 1) == expected
    np.testing.assert_array_equal(second.images, whole.images)
    assert second.seen == 40


def test_choices_depend_on_the_seed_and_not_on_global_random_streams() -> None:
    random.manual_seed(3)
    np.random.seed(3)
    numpy_before, own_before = np.random.get_state()[1].copy(), random.default_generator.counter  # type: ignore[index]
    a, again, other_kind, other_seed = (exchanged(pool(4, seed), 40) for seed in ((0, 0), (0, 0), (0, 1), (1, 0)))
    assert a == again
    assert len({tuple(a), tuple(other_kind), tuple(other_seed)}) == 3
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]
    assert random.default_generator.counter == own_before


def test_returned_images_share_no_memory_with_the_pool_or_the_input() -> None:
    kept, newest = pool(1), images(1)
    back = kept.exchange(newest)
    back.data[...] = 7
    assert values(newest) == [1] and values(kept.images) == [1]
    newest.data[...] = 8
    assert values(kept.images) == [1]
    while (older := values(back := kept.exchange(images(2)))) != [1]:
        assert older == [2]
    back.data[...] = 9
    assert values(kept.images) == [2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_keep_their_type_and_their_layout_in_memory(dtype: type) -> None:
    kept = pool(2, dtype=dtype)
    for _ in range(6):
        back = kept.exchange(mg.Tensor(channels_last(np.ones((2, *SHAPE), dtype))))
        assert back.dtype == dtype and not back.requires_grad
        assert back.data.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    "saved",
    [{}, {"images": np.zeros((4, *SHAPE))}, {"seen": np.array(3)}, {"images": np.zeros((3, *SHAPE)), "seen": np.array(3)},
     {"images": np.zeros((4, 3, 4, 2)), "seen": np.array(3)}],
    ids=["nothing", "no count", "no images", "other size", "other shape"],
)  # fmt: skip
def test_the_state_of_another_pool_is_refused_and_changes_nothing(saved: dict[str, Any]) -> None:
    kept = pool(4)
    exchanged(kept, 6)
    before, seen = kept.images.copy(), kept.seen
    with pytest.raises(ValueError, match="pool of images is of another size"):
        kept.load_state_dict(saved)
    np.testing.assert_array_equal(kept.images, before)
    assert kept.seen == seen
