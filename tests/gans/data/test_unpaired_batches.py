"""Random crops, and unpaired batches of two domains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gans.data.batches import Batches
from gans.data.errors import DataError
from gans.data.unpaired_batches import RandomCrops, UnpairedBatches, center_crop
from minigrad import random


def images(count: int, height: int, width: int) -> np.ndarray:
    """Test images whose three channels are the image's index, the row and the column."""
    parts = np.broadcast_arrays(np.arange(count)[:, None, None], np.arange(height)[:, None], np.arange(width))
    return np.stack(parts, axis=1).astype(np.uint8)


def crops(count: int = 6, height: int = 12, width: int = 15, size: int = 8, mirror: bool = True, **more: Any) -> RandomCrops:
    options = {"batch_size": 2, "seed": (0, 0), **more}
    return RandomCrops(images(count, height, width), size, mirror, **options)


def crops_of(stream: RandomCrops, step: int) -> np.ndarray:
    """The pixels of a batch as integers from 0 to 255, (n, 3, size, size)."""
    return np.rint((stream[step][0].numpy() + 1) * 127.5).astype(int)


def location(crop: np.ndarray) -> tuple[int, int, int, bool]:
    """Of which image a crop is, its top row, its left column and whether it is mirrored. It must be a square of one image."""
    (index,) = np.unique(crop[0])
    rows, columns = crop[1, :, 0], crop[2, 0]
    assert (crop[1] == rows[:, None]).all() and (crop[2] == columns).all()
    mirrored = bool(columns[0] > columns[-1])
    assert (np.diff(rows) == 1).all() and (np.diff(columns) == (-1 if mirrored else 1)).all()
    return int(index), int(rows[0]), int(columns.min()), mirrored


def locations(stream: RandomCrops, steps: range) -> list[tuple[int, int, int, bool]]:
    return [location(crop) for step in steps for crop in crops_of(stream, step)]


@given(
    st.integers(1, 20), st.integers(0, 9), st.integers(0, 9), st.booleans(), st.integers(1, 5), st.integers(0, 2**64 - 1),
    st.integers(0, 10**9),
)  # fmt: skip
def test_every_crop_is_a_square_inside_its_image(
    size: int, more_rows: int, more_columns: int, mirror: bool, n: int, seed: int, step: int
) -> None:
    stream = crops(5, size + more_rows, size + more_columns, size, mirror, batch_size=n, seed=(seed, 1))
    batch = crops_of(stream, step)
    assert batch.shape == (n, 3, size, size)
    for crop in batch:
        index, top, left, mirrored = location(crop)
        assert 0 <= index < 5 and 0 <= top <= more_rows and 0 <= left <= more_columns
        assert mirror or not mirrored


def test_every_location_occurs_and_half_of_the_crops_are_mirrored() -> None:
    seen = locations(crops(), range(600))
    assert {top for _, top, _, _ in seen} == set(range(5))
    assert {left for _, _, left, _ in seen} == set(range(8))
    assert 500 < sum(mirrored for *_, mirrored in seen) < 700
    corners = {(top, left) for _, top, left, _ in seen}
    assert len(corners) == 5 * 8, "rows and columns are drawn independently"


def test_the_location_changes_from_epoch_to_epoch_and_within_a_batch() -> None:
    stream = crops(count=4, height=40, width=40, batch_size=4)
    seen = locations(stream, range(50))
    of_one = [(top, left) for index, top, left, _ in seen if index == 2]
    assert len(of_one) == 50 and len(set(of_one)) > 40
    assert all(len({(top, left) for _, top, left, _ in seen[i : i + 4]}) > 1 for i in range(0, 200, 4))


def test_without_mirroring_a_crop_of_full_size_is_the_image() -> None:
    stream = crops(height=8, width=8, mirror=False)
    plain = Batches(images(6, 8, 8), 2, (0, 0))
    for step in range(7):
        np.testing.assert_array_equal(stream[step][0].numpy(), plain[step][0].numpy())


def test_a_mirrored_crop_of_full_size_is_the_mirrored_image() -> None:
    seen = locations(crops(height=8, width=8), range(40))
    assert {(top, left) for _, top, left, _ in seen} == {(0, 0)}
    assert len({mirrored for *_, mirrored in seen}) == 2


def test_cropping_does_not_change_the_order_of_the_images() -> None:
    plain = Batches(images(6, 12, 15), 2, (0, 0))
    order = [int(index) for step in range(9) for index in (plain[step][0].numpy()[:, 0, 0, 0] + 1) * 127.5 + 0.5]
    for settings in ({}, {"mirror": False}, {"size": 3}):
        assert [index for index, *_ in locations(crops(**settings), range(9))] == order


def test_a_batch_depends_only_on_the_seed_and_the_step() -> None:
    in_order, out_of_order = crops(), crops()
    expected = [crops_of(in_order, step) for step in range(12)]
    np.random.seed(0)
    numpy_before, own_before = np.random.get_state()[1].copy(), random.default_generator.counter  # type: ignore[index]
    for step in (11, 0, 7, 7, 3, 4, 11):
        np.testing.assert_array_equal(crops_of(out_of_order, step), expected[step])
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]
    assert random.default_generator.counter == own_before


def test_every_seed_and_every_domain_has_its_own_crops() -> None:
    found = [
        [place[1:] for place in locations(crops(seed=seed), range(6))] for seed in ((0, 0), (0, 1), (1, 0), (2**64 - 1, 0))
    ]
    assert len(set(map(tuple, found))) == 4, "compared without the order of the images"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_are_scaled_from_minus_one_to_one_and_channels_last(dtype: type) -> None:
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3).transpose(0, 3, 1, 2)
    (batch,) = RandomCrops(images, 16, True, 1, (0, 0), "numpy", dtype)[0]
    assert batch.dtype == dtype and not batch.requires_grad
    assert batch.data.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_allclose(np.unique(batch.numpy()), np.arange(256) / 127.5 - 1, atol=2e-7)


def test_a_batch_larger_than_a_domain_is_an_error_in_one_sentence() -> None:
    with pytest.raises(DataError, match=r"5 images.*6.*--batch-size"):
        crops(count=5, batch_size=6)


# --- both domains


def both(count_a: int, count_b: int, batch_size: int = 2) -> UnpairedBatches:
    a, b = (crops(count, batch_size=batch_size, seed=(0, domain)) for domain, count in enumerate((count_a, count_b)))
    return UnpairedBatches(a, b, (), "here")


def indices(stream: UnpairedBatches, steps: range) -> tuple[list[int], list[int]]:
    """The indices of the images of A, and of B, in these steps."""
    batches = [stream[i] for i in steps]
    a, b = (np.concatenate([batch[i].numpy()[:, 0, 0, 0] for batch in batches]) for i in range(2))
    return np.rint((a + 1) * 127.5).astype(int).tolist(), np.rint((b + 1) * 127.5).astype(int).tolist()


@pytest.mark.parametrize(("count_a", "count_b"), [(12, 4), (4, 12), (12, 12), (12, 5)])
def test_an_epoch_has_the_larger_domain_once_and_repeats_the_smaller_one(count_a: int, count_b: int) -> None:
    stream = both(count_a, count_b)
    assert stream.per_epoch == 6
    for epoch in range(3):
        seen = indices(stream, range(6 * epoch, 6 * epoch + 6))
        for count, shown in zip((count_a, count_b), seen, strict=True):
            assert len(shown) == 12
            assert set(shown) <= set(range(count))
            if count == 12:
                assert sorted(shown) == list(range(12))
    smaller = min((count_a, count_b)) // 2 * 2
    shown = indices(stream, range(18))[0 if count_a < count_b else 1]
    assert all(len(set(shown[i : i + smaller])) == smaller for i in range(0, 36 - smaller, smaller)), "each pass has all"


def test_each_epoch_combines_images_of_a_and_b_differently() -> None:
    stream = both(12, 12, batch_size=1)
    pairs = [set(zip(*indices(stream, range(12 * epoch, 12 * epoch + 12)), strict=True)) for epoch in range(3)]
    assert len(set().union(*pairs)) > 25
    assert all(any(a != b for a, b in of_epoch) for of_epoch in pairs), "the domains are shuffled independently"


def test_a_stream_reports_its_sizes_and_its_source() -> None:
    stream = both(12, 5, batch_size=3)
    assert (stream.count, stream.batch_size, stream.per_epoch, stream.source) == (17, 3, 4, "here")
    assert [x.shape for x in stream[0]] == [(3, 3, 8, 8)] * 2


def test_other_images_and_swapped_domains_change_the_digest() -> None:
    streams = [both(12, 5), both(12, 5), both(5, 12), both(12, 4)]
    first, same, *others = (stream.digest for stream in streams)
    assert first == same
    assert len({first, *others}) == 3


def test_other_held_out_images_change_the_digest() -> None:
    a, b = crops(12), crops(5)
    black = np.zeros((2, 3, 8, 8), np.uint8)
    assert UnpairedBatches(a, b, (black, black), "").digest == UnpairedBatches(a, b, (black, black.copy()), "").digest
    assert UnpairedBatches(a, b, (black, black), "").digest != UnpairedBatches(a, b, (black, black[:1]), "").digest


# --- center crop


@pytest.mark.parametrize(("height", "width", "top", "left"), [(8, 8, 0, 0), (9, 10, 0, 1), (12, 15, 2, 3), (8, 13, 0, 2)])
def test_the_center_crop_of_images(height: int, width: int, top: int, left: int) -> None:
    cropped = center_crop(images(3, height, width), 8)
    assert cropped.shape == (3, 3, 8, 8) and cropped.dtype == np.uint8
    assert [location(crop)[1:] for crop in cropped.astype(int)] == [(top, left, False)] * 3
