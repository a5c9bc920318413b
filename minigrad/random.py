"""Counter-based random numbers: the same on every backend, with two integers as their whole state.

A counter-based generator computes random bits from (seed, counter) with a fixed mixing function, Philox. So
number i of a seed can be computed anywhere and in any order, on a CPU or a GPU, and the state is the seed
and how many numbers were drawn.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and Muller (1958) for
normal numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Never

import numpy as np

from minigrad import parallel
from minigrad.arrays.backend import array_module, kernels_named
from minigrad.modes import mode
from minigrad.tensor import Array, Shape, Tensor


@dataclass
class Generator:
    """A stream of random numbers. `seed` and `counter` (in blocks of four numbers) are its whole state.

    All numbers are computed in float32, whatever dtype is asked for, so that a seed gives the same noise in
    float64.
    """

    seed: int
    counter: int = 0

    def rand(self, shape: Shape | int, backend: str = "numpy", dtype: Any = np.float32, *more: Never) -> Tensor:
        """Uniform in the open interval (0, 1)."""
        shape = _as_shape("rand", shape, backend, dtype, *more)
        return _reported(_shaped(lambda count: self._uniform(count, backend), shape, dtype), "U(0, 1)")

    def randn(self, shape: Shape | int, backend: str = "numpy", dtype: Any = np.float32, *more: Never) -> Tensor:
        """Normal, mean 0 and variance 1: sqrt(-2 log u) times cos(2 pi v) and sin(2 pi v), with u and v uniform."""
        shape = _as_shape("randn", shape, backend, dtype, *more)
        return _reported(_shaped(lambda count: self._normal(count, backend), shape, dtype), "N(0, 1)")

    def _normal(self, count: int, backend: str) -> Array:
        pairs = -(-count // 2)
        uniform = self._uniform(2 * pairs, backend)
        xp = array_module(uniform)
        radius = xp.sqrt(-2 * xp.log(uniform[:pairs]))
        angle = (2 * math.pi) * uniform[pairs:]
        return xp.concatenate([radius * xp.cos(angle), radius * xp.sin(angle)])[:count]

    def _uniform(self, count: int, backend: str) -> Array:
        """float32 midpoints of 2^23 equal intervals of (0, 1): exact, and never 0 or 1."""

        def advance() -> tuple[int, int]:
            """The position of these numbers in the stream; the generator moves past them."""
            first = self.counter
            self.counter += -(-count // 4)
            return self.seed, first

        bits = kernels_named(backend).philox(advance, count)
        return ((bits >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-23)


def _shaped(draw: Callable[[int], Array], shape: Shape, dtype: Any) -> Array:
    """`draw(count)` as an array. In a network that ranks share, an array with a row for each of this rank's rows is its part
    of the whole batch's numbers; an array of another length is the same on all ranks.
    """
    ranks = parallel.current()
    share = ranks.share if ranks else None
    if share is None or shape[:1] != (share.stop - share.start,):
        return draw(math.prod(shape)).reshape(shape).astype(dtype, copy=False)
    whole = (share.whole, *shape[1:])
    return draw(math.prod(whole)).reshape(whole)[share.start : share.stop].astype(dtype, copy=False)


def _reported(numbers: Array, distribution: str) -> Tensor:
    x = Tensor(numbers)
    if mode.observer:
        mode.observer.drawn(x, distribution)
    return x


def _as_shape(caller: str, shape: Shape | int, backend: Any, *more: Any) -> Shape:
    if isinstance(backend, int):
        numbers = [n for n in (shape, backend, *more) if isinstance(n, int)]
        raise TypeError(f"{caller}: the shape is one argument; write {caller}(({', '.join(map(str, numbers))}))")
    return (shape,) if isinstance(shape, int) else tuple(shape)


default_generator = Generator(seed=0)


def manual_seed(seed: int) -> None:
    """Restart the default stream with a seed."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed {seed} is not in 0 .. 2^64 - 1")
    default_generator.seed, default_generator.counter = seed, 0


def rand(shape: Shape | int, backend: str = "numpy", dtype: Any = np.float32, *more: Never) -> Tensor:
    """Uniform numbers in (0, 1) from the default stream."""
    return default_generator.rand(shape, backend, dtype, *more)


def randn(shape: Shape | int, backend: str = "numpy", dtype: Any = np.float32, *more: Never) -> Tensor:
    """Normal numbers, mean 0 and variance 1, from the default stream."""
    return default_generator.randn(shape, backend, dtype, *more)


def get_rng_state() -> tuple[int, int]:
    """Seed and counter of the default stream."""
    return default_generator.seed, default_generator.counter


def set_rng_state(state: tuple[int, int]) -> None:
    """Continue the default stream from a state that `get_rng_state` returned."""
    manual_seed(state[0])
    default_generator.counter = state[1]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which the default stream is that of a seed; afterwards it goes on where it was."""
    before = get_rng_state()
    manual_seed(seed)
    try:
        yield
    finally:
        set_rng_state(before)
