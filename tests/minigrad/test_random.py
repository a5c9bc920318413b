"""Random numbers: a published test vector, kernels bit for bit, moments and tails, and resuming a stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Generator, Tensor, random
from minigrad.kernels import cpu, reference

LAST = 2**64 - 1


class TestPhilox:
    @pytest.mark.parametrize("kernels", [reference, cpu], ids=lambda module: module.__name__)
    def test_published_vector(self, kernels: Any) -> None:
        """Random123's known answers for philox4x32-10: key 0 and counter 0. (The others set the counter's upper half.)"""
        words = [f"{word:08x}" for word in kernels.philox(lambda: (0, 0), 4)]
        assert words == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]

    @given(seed=st.integers(0, LAST), counter=st.integers(0, LAST), count=st.integers(0, 40))
    @settings(max_examples=60, deadline=None)
    def test_the_fast_kernel_equals_the_reference_bit_for_bit(self, seed: int, counter: int, count: int) -> None:
        fast = cpu.philox(lambda: (seed, counter), count)
        assert fast.dtype == np.uint32
        assert fast.shape == (count,)
        np.testing.assert_array_equal(fast, reference.philox(lambda: (seed, counter), count))

    @pytest.mark.parametrize("counter", [2**32 - 2, LAST - 1])
    def test_the_counter_carries_into_its_second_word_and_wraps_around(self, counter: int) -> None:
        np.testing.assert_array_equal(cpu.philox(lambda: (1, counter), 16), reference.philox(lambda: (1, counter), 16))

    def test_both_words_of_seed_and_counter_matter(self) -> None:
        blocks = [tuple(cpu.philox(lambda s=s, c=c: (s, c), 4)) for s in (0, 1, 2**32) for c in (0, 1, 2**32)]
        assert len(set(blocks)) == 9

    def test_bits_are_fair(self) -> None:
        """Each of the 32 bits is set in half of 2^16 words; the standard deviation of the count is 2^7."""
        words = cpu.philox(lambda: (123, 0), 1 << 16)
        counts = [int(((words >> np.uint32(bit)) & np.uint32(1)).sum()) for bit in range(32)]
        assert all(abs(count - (1 << 15)) < 4 * 128 for count in counts)


def moments(x: np.ndarray) -> list[float]:
    return [float((x.astype(np.float64) ** power).mean()) for power in (1, 2, 3, 4)]


class TestDistributions:
    N = 400_000

    def test_uniform_moments_and_independence_of_neighbours(self) -> None:
        x = Generator(1).rand((self.N,)).data
        expected = [1 / 2, 1 / 3, 1 / 4, 1 / 5]
        assert moments(x) == pytest.approx(expected, abs=4 * 0.3 / self.N**0.5)
        centred = x.astype(np.float64) - 0.5
        for lag in (1, 2, 4):
            assert abs((centred[lag:] * centred[:-lag]).mean() * 12) < 4 / self.N**0.5

    def test_uniform_numbers_are_spread_evenly(self) -> None:
        counts = np.bincount((Generator(2).rand((self.N,)).data * 256).astype(int), minlength=256)
        chi_square = ((counts - self.N / 256) ** 2 / (self.N / 256)).sum()
        assert chi_square == pytest.approx(255, abs=4 * (2 * 255) ** 0.5)

    def test_normal_moments(self) -> None:
        x = Generator(3).randn((self.N,)).data
        mean, square, cube, fourth = moments(x)
        root = self.N**0.5
        assert abs(mean) < 4 / root
        assert abs(square - 1) < 4 * 2**0.5 / root
        assert abs(cube) < 4 * 15**0.5 / root
        assert abs(fourth - 3) < 4 * 96**0.5 / root

    @pytest.mark.parametrize("beyond", [1.0, 2.0, 3.0, 4.0])
    def test_normal_tails_on_both_sides(self, beyond: float) -> None:
        x = Generator(4).randn((self.N,)).data
        expected = self.N * math.erfc(beyond / 2**0.5) / 2
        for count in ((x > beyond).sum(), (x < -beyond).sum()):
            assert count == pytest.approx(expected, abs=4 * expected**0.5)

    def test_the_two_halves_of_the_normal_numbers_are_uncorrelated(self) -> None:
        """They are made in pairs from the same radius."""
        x = Generator(5).randn((self.N,)).data.astype(np.float64)
        first, second = x[: self.N // 2], x[self.N // 2 :]
        bound = 4 / (self.N / 2) ** 0.5
        assert abs((first * second).mean()) < bound
        assert abs(((first**2 - 1) * (second**2 - 1)).mean()) < 2 * bound

    def test_uniform_is_never_0_or_1_at_the_ends_of_the_generators_range(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ends = np.array([0, 1, 2**31, LAST & 0xFFFFFFFF], np.uint32)
        monkeypatch.setattr(cpu, "philox", lambda read, count: ends[:count])
        x = Generator(0).rand((4,)).data
        assert x.dtype == np.float32
        assert x.min() == 2.0**-24
        assert x.max() == 1 - 2.0**-24
        assert np.isfinite(Generator(0).randn((4,)).data).all()


@pytest.mark.parametrize("draw", [Generator.rand, Generator.randn], ids=["rand", "randn"])
class TestStream:
    def test_a_seed_gives_the_same_numbers_again(self, draw: Callable[..., Tensor]) -> None:
        np.testing.assert_array_equal(draw(Generator(7), (5, 3)).data, draw(Generator(7), (5, 3)).data)
        assert not np.array_equal(draw(Generator(7), (5, 3)).data, draw(Generator(8), (5, 3)).data)

    def test_seed_and_counter_are_the_whole_state(self, draw: Callable[..., Tensor]) -> None:
        stream = Generator(7)
        draw(stream, (13,))
        draw(stream, (2, 3))
        resumed = Generator(stream.seed, stream.counter)
        for _ in range(3):
            np.testing.assert_array_equal(draw(stream, (9,)).data, draw(resumed, (9,)).data)

    def test_numbers_are_never_used_twice(self, draw: Callable[..., Tensor]) -> None:
        stream = Generator(7)
        pieces = [draw(stream, (n,)).data for n in (5, 1, 4, 7, 2)]
        values = np.concatenate(pieces)
        assert len(np.unique(values)) == len(values)

    @pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (3,), (4, 5)])
    def test_any_shape(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
        stream = Generator(7)
        assert draw(stream, shape).shape == shape
        assert stream.counter == -(-math.prod(shape) // 4)

    def test_float64_holds_the_same_numbers_as_float32(self, draw: Callable[..., Tensor]) -> None:
        single, double = draw(Generator(7), (9,)), draw(Generator(7), (9,), dtype=np.float64)
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(single.data, double.data)

    def test_results_require_no_gradient(self, draw: Callable[..., Tensor]) -> None:
        assert not draw(Generator(7), (2,)).requires_grad


@given(cuts=st.lists(st.integers(0, 5), max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_uniform_stream_is_the_same_however_it_is_cut_at_multiples_of_four(cuts: list[int]) -> None:
    pieces = Generator(9)
    drawn = [pieces.rand((4 * n,)).data for n in cuts]
    whole = Generator(9)
    expected = whole.rand((4 * sum(cuts),)).data
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *drawn]), expected)
    assert pieces.counter == whole.counter


class TestDefaultStream:
    def test_manual_seed_restarts_the_stream(self) -> None:
        mg.manual_seed(5)
        first = [mg.rand((3,)).data, mg.randn((3,)).data]
        mg.manual_seed(5)
        again = [mg.rand((3,)).data, mg.randn((3,)).data]
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(first[0], Generator(5).rand((3,)).data)

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_a_seed_beyond_64_bits_is_refused(self, seed: int) -> None:
        with pytest.raises(ValueError, match=rf"seed {seed} is not in 0 \.\. 2\^64 - 1"):
            mg.manual_seed(seed)

    @pytest.mark.parametrize("seed", [0, LAST])
    def test_the_smallest_and_the_largest_seed_work(self, seed: int) -> None:
        mg.manual_seed(seed)
        assert 0 < mg.rand(()).item() < 1


def test_the_default_stream_continues_from_a_saved_state() -> None:
    random.manual_seed(3)
    random.randn((5,))
    state = random.get_rng_state()
    expected = random.randn((7,)).numpy()
    random.manual_seed(4)
    random.set_rng_state(state)
    assert state == (3, 2)
    np.testing.assert_array_equal(random.randn((7,)).numpy(), expected)


def test_in_a_seeded_context_the_stream_is_the_seeds_and_afterwards_goes_on_even_after_an_error() -> None:
    mg.manual_seed(5)
    mg.rand(7)
    position = mg.random.get_rng_state()
    with mg.random.seeded(3):
        np.testing.assert_array_equal(mg.rand(4).numpy(), mg.Generator(3).rand(4).numpy())
    assert mg.random.get_rng_state() == position

    def fail() -> None:
        with mg.random.seeded(3):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert mg.random.get_rng_state() == position
