"""Random crops of two kinds of pictures, and the steps made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gans.data import unpaired as module
from gans.data.batches import Batches
from gans.data.drawn.landscapes import Landscapes
from gans.data.errors import DataError
from gans.data.unpaired import Crops, Unpaired, load_unpaired, middle
from minigrad import random


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Picture i has i, the row and the column in its three channels."""
    parts = np.broadcast_arrays(np.arange(count)[:, None, None], np.arange(height)[:, None], np.arange(width))
    return np.stack(parts, axis=1).astype(np.uint8)


def crops(count: int = 6, height: int = 12, width: int = 15, size: int = 8, mirror: bool = True, **more: Any) -> Crops:
    given = {"batch_size": 2, "seed": (0, 0), **more}
    return Crops(pictures(count, height, width), size, mirror, *given.values())


def squares(stream: Crops, step: int) -> np.ndarray:
    """The bytes of a batch: (n, 3, size, size)."""
    return np.rint((stream[step][0].numpy() + 1) * 127.5).astype(int)


def place(square: np.ndarray) -> tuple[int, int, int, bool]:
    """Which picture a square is of, its top row, its left column and whether it is mirrored; it must be a square of one."""
    (number,) = np.unique(square[0])
    rows, columns = square[1, :, 0], square[2, 0]
    assert (square[1] == rows[:, None]).all() and (square[2] == columns).all()
    mirrored = bool(columns[0] > columns[-1])
    assert (np.diff(rows) == 1).all() and (np.diff(columns) == (-1 if mirrored else 1)).all()
    return int(number), int(rows[0]), int(columns.min()), mirrored


def places(stream: Crops, steps: range) -> list[tuple[int, int, int, bool]]:
    return [place(square) for step in steps for square in squares(stream, step)]


@given(
    st.integers(1, 20), st.integers(0, 9), st.integers(0, 9), st.booleans(), st.integers(1, 5), st.integers(0, 2**64 - 1),
    st.integers(0, 10**9),
)  # fmt: skip
def test_every_crop_is_a_square_inside_its_picture(
    size: int, more_rows: int, more_columns: int, mirror: bool, n: int, seed: int, step: int
) -> None:
    stream = crops(5, size + more_rows, size + more_columns, size, mirror, batch_size=n, seed=(seed, 1))
    batch = squares(stream, step)
    assert batch.shape == (n, 3, size, size)
    for square in batch:
        number, top, left, mirrored = place(square)
        assert 0 <= number < 5 and 0 <= top <= more_rows and 0 <= left <= more_columns
        assert mirror or not mirrored


def test_all_places_come_and_half_of_the_crops_are_mirrored() -> None:
    seen = places(crops(), range(600))
    assert {top for _, top, _, _ in seen} == set(range(5))
    assert {left for _, _, left, _ in seen} == set(range(8))
    assert 500 < sum(mirrored for *_, mirrored in seen) < 700
    corners = {(top, left) for _, top, left, _ in seen}
    assert len(corners) == 5 * 8, "rows and columns are drawn apart"


def test_a_picture_is_cut_elsewhere_each_time_and_each_of_a_batch_elsewhere() -> None:
    stream = crops(count=4, height=40, width=40, batch_size=4)
    seen = places(stream, range(50))
    of_one = [(top, left) for number, top, left, _ in seen if number == 2]
    assert len(of_one) == 50 and len(set(of_one)) > 40
    assert all(len({(top, left) for _, top, left, _ in seen[i : i + 4]}) > 1 for i in range(0, 200, 4))


def test_where_there_is_no_room_and_no_mirror_the_crop_is_the_picture() -> None:
    stream = crops(height=8, width=8, mirror=False)
    plain = Batches(pictures(6, 8, 8), 2, (0, 0))
    for step in range(7):
        np.testing.assert_array_equal(stream[step][0].numpy(), plain[step][0].numpy())


def test_where_there_is_no_room_a_mirrored_crop_is_the_picture_mirrored() -> None:
    seen = places(crops(height=8, width=8), range(40))
    assert {(top, left) for _, top, left, _ in seen} == {(0, 0)}
    assert len({mirrored for *_, mirrored in seen}) == 2


def test_the_order_of_the_pictures_is_that_of_whole_ones_whatever_the_crops() -> None:
    plain = Batches(pictures(6, 12, 15), 2, (0, 0))
    order = [int(number) for step in range(9) for number in (plain[step][0].numpy()[:, 0, 0, 0] + 1) * 127.5 + 0.5]
    for settings in ({}, {"mirror": False}, {"size": 3}):
        assert [number for number, *_ in places(crops(**settings), range(9))] == order


def test_a_batch_depends_on_its_number_and_the_seed_alone() -> None:
    forwards, jumping = crops(), crops()
    expected = [squares(forwards, step) for step in range(12)]
    np.random.seed(0)
    numpy_before, own_before = np.random.get_state()[1].copy(), random.default_generator.counter  # type: ignore[index]
    for step in (11, 0, 7, 7, 3, 4, 11):
        np.testing.assert_array_equal(squares(jumping, step), expected[step])
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]
    assert random.default_generator.counter == own_before


def test_another_seed_and_another_kind_have_other_crops() -> None:
    cut = [[where[1:] for where in places(crops(seed=seed), range(6))] for seed in ((0, 0), (0, 1), (1, 0), (2**64 - 1, 0))]
    assert len(set(map(tuple, cut))) == 4, "whatever the order of the pictures"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_are_numbers_from_minus_one_to_one_channels_last_in_memory(dtype: type) -> None:
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3).transpose(0, 3, 1, 2)
    (batch,) = Crops(images, 16, True, 1, (0, 0), "numpy", dtype)[0]
    assert batch.dtype == dtype and not batch.requires_grad
    assert batch.data.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_allclose(np.unique(batch.numpy()), np.arange(256) / 127.5 - 1, atol=2e-7)


def test_a_batch_larger_than_a_kind_is_refused_in_one_sentence() -> None:
    with pytest.raises(DataError, match=r"5 images.*6.*--batch-size"):
        crops(count=5, batch_size=6)


# --- both kinds


def both(count_a: int, count_b: int, batch_size: int = 2) -> Unpaired:
    a, b = (crops(count, batch_size=batch_size, seed=(0, kind)) for kind, count in enumerate((count_a, count_b)))
    return Unpaired(a, b, (), "here")


def numbers(stream: Unpaired, steps: range) -> tuple[list[int], list[int]]:
    """Which pictures of A, and which of B, the steps have."""
    batches = [stream[i] for i in steps]
    a, b = (np.concatenate([kinds[i].numpy()[:, 0, 0, 0] for kinds in batches]) for i in range(2))
    return np.rint((a + 1) * 127.5).astype(int).tolist(), np.rint((b + 1) * 127.5).astype(int).tolist()


@pytest.mark.parametrize(("count_a", "count_b"), [(12, 4), (4, 12), (12, 12), (12, 5)])
def test_an_epoch_shows_the_larger_kind_once_and_the_smaller_as_often_as_it_takes(count_a: int, count_b: int) -> None:
    stream = both(count_a, count_b)
    assert stream.per_epoch == 6
    for epoch in range(3):
        seen = numbers(stream, range(6 * epoch, 6 * epoch + 6))
        for count, shown in zip((count_a, count_b), seen, strict=True):
            assert len(shown) == 12
            assert set(shown) <= set(range(count))
            if count == 12:
                assert sorted(shown) == list(range(12))
    smaller = min((count_a, count_b)) // 2 * 2
    shown = numbers(stream, range(18))[0 if count_a < count_b else 1]
    assert all(len(set(shown[i : i + smaller])) == smaller for i in range(0, 36 - smaller, smaller)), "a pass of its own"


def test_what_meets_what_changes_from_epoch_to_epoch() -> None:
    stream = both(12, 12, batch_size=1)
    pairs = [set(zip(*numbers(stream, range(12 * epoch, 12 * epoch + 12)), strict=True)) for epoch in range(3)]
    assert len(set().union(*pairs)) > 25
    assert all(any(a != b for a, b in of_epoch) for of_epoch in pairs), "the two kinds are shuffled apart"


def test_the_loop_learns_the_sizes_and_the_source() -> None:
    stream = both(12, 5, batch_size=3)
    assert (stream.count, stream.batch_size, stream.per_epoch, stream.source) == (17, 3, 4, "here")
    assert [x.shape for x in stream[0]] == [(3, 3, 8, 8)] * 2


def test_the_digest_tells_other_pictures_and_exchanged_kinds_apart() -> None:
    streams = [both(12, 5), both(12, 5), both(5, 12), both(12, 4)]
    first, same, *others = (stream.digest for stream in streams)
    assert first == same
    assert len({first, *others}) == 3


def test_the_digest_tells_other_held_out_pictures_apart() -> None:
    a, b = crops(12), crops(5)
    images = np.zeros((2, 3, 8, 8), np.uint8)
    assert Unpaired(a, b, (images, images), "").digest == Unpaired(a, b, (images, images.copy()), "").digest
    assert Unpaired(a, b, (images, images), "").digest != Unpaired(a, b, (images, images[:1]), "").digest


# --- pictures


@pytest.mark.parametrize(("height", "width", "top", "left"), [(8, 8, 0, 0), (9, 10, 0, 1), (12, 15, 2, 3), (8, 13, 0, 2)])
def test_the_middle_of_pictures(height: int, width: int, top: int, left: int) -> None:
    images = pictures(3, height, width)
    cut = middle(images, 8)
    assert cut.shape == (3, 3, 8, 8) and cut.dtype == np.uint8
    assert [place(square)[1:] for square in cut.astype(int)] == [(top, left, False)] * 3


def test_a_folder_is_read_as_two_kinds(two_kinds: Path) -> None:
    data = load_unpaired(str(two_kinds), 10)
    assert [len(x) for x in (data.train_a, data.train_b, data.test_a, data.test_b)] == [18, 26, 3, 2]
    assert data.train_a.shape[1:] == (3, 10, 10)
    assert (data.train_a[:, 0] == 255).all() and (data.train_b[:, 2] == 255).all()


def test_without_a_folder_landscapes_by_day_are_a_and_by_night_b(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [np.full((1 + i, 3, 4, 4), i, np.uint8) for i in range(4)]
    asked = []
    monkeypatch.setattr(module, "load_landscapes", lambda size: asked.append(size) or Landscapes(*parts, "drawn"))
    data = load_unpaired(None, 4)
    assert asked == [4] and data.source == "drawn"
    for found, part in zip((data.train_a, data.train_b, data.test_a, data.test_b), parts, strict=True):
        assert found is part
