"""The micro-kernel of all products and convolutions: one tile of c = a b, summed in registers."""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels.cpu.units import call_unit, inner, unit
from minigrad.kernels.cpu.vectors import AVX512, I64, LINE_BYTES, OFFSET, ROWS, VECTORS, Vectors, addresses

Array = Any
Terms = Literal["single", "strip", "in place", "masked"]  # how a tile is summed: runs of one term, or see `multiply_tile`

UNROLL = 1 if AVX512 else 4  # terms of a sum between two jumps; with more than one, LLVM has too few registers for 26 sums
BLOCK = 256  # terms that are summed before the next tile's turn: so much of a panel stays in the first-level cache
SHORT = 16  # terms in a run that is better cut into single ones


@inner
def cut(runs: Array, k: int, a_col: int, b_row: int) -> tuple[Array, int]:
    """The same sum for `multiply_tile` in runs of a better length: short ones are cut into single terms, long ones into blocks.

    Returns the runs and their length.
    """
    pieces = k if k < SHORT else (k + BLOCK - 1) // BLOCK
    if pieces <= 1 or k % pieces:
        return runs, k
    length = k // pieces
    result = np.empty(len(runs) * pieces, np.int64)
    for i in range(len(runs) // 2 * pieces):
        run, p = i // pieces, i % pieces * length
        result[2 * i] = runs[2 * run] + p * a_col
        result[2 * i + 1] = runs[2 * run + 1] + p * b_row
    return result, length


@numba.njit(cache=True, inline="always")
def multiples(step: int, count: int) -> Array:
    """0, step, 2 step and so on: the offsets of rows that are stored `step` apart."""
    result = np.empty(count, np.int64)
    for i in range(count):
        result[i] = i * step
    return result


@numba.njit(cache=True, inline="always")
def aligned(count: int, dtype: Any) -> Array:
    """Memory from the beginning of a cache line on: no vector of a panel crosses two lines, which would take twice as long."""
    result = np.empty(count + LINE_BYTES, dtype)
    return result[-result.ctypes.data % LINE_BYTES // result.itemsize :][:count]


@intrinsic
def multiply_tile(
    typingctx: Any, a: Any, a_start: Any, a_rows: Any, a_col: Any, b: Any, b_start: Any, b_row: Any,
    runs: Any, run: Any, count: Any, k: Any, bias: Any, bias_start: Any, begin: Any,
    c: Any, c_start: Any, c_rows: Any, table: Any, rows: Any, cols: Any,
) -> Any:  # fmt: skip
    """c[i, j] = bias[j], or the old c[i, j], + sum over runs and p < k of a[i, p] b[p, j].

    For i < rows, at most ROWS, and j < cols, at most the width of a tile. All arrays are flat:

        a[i, p]   element a_start + a_rows[table + i] + p a_col of a
        b[p, j]   element b_start + p b_row + j of b; whole vectors are read, beyond cols as well
        bias[j]   element bias_start + j of bias; if `begin` is false, the sums begin with the old c
        c[i, j]   element c_start + c_rows[table + i] + j of c

    a_col is 1, or ROWS if a is packed in strips; then a_rows must be 0, 1, 2 and so on. `runs` holds
    pairs of offsets, which are added to those of a and b. `count` of them are summed, from number
    `run` on.

    This is a call of `_multiply`, a unit: its code would be most of that of each function that calls it.
    """
    left, right = (a, OFFSET, a_rows, OFFSET), (b, OFFSET, OFFSET)
    terms, result = (runs, OFFSET, OFFSET, OFFSET), (c, OFFSET, c_rows, OFFSET)
    signature = types.void(*left, *right, *terms, bias, OFFSET, types.boolean, *result, OFFSET, OFFSET)
    kinds = a, a_rows, b, runs, bias, c, c_rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a_start, a_rows, a_col, b, b_start, b_row, runs, run, count, k, bias, bias_start, begin, *result = args
        c, c_start, c_rows, table, rows, cols = result
        a, a_rows, b, runs, bias, c, c_rows = addresses(context, builder, kinds, (a, a_rows, b, runs, bias, c, c_rows))
        a, b, c, bias = (builder.gep(x, [i]) for x, i in ((a, a_start), (b, b_start), (c, c_start), (bias, bias_start)))
        runs = builder.gep(runs, [builder.mul(run, I64(2))])
        a_rows, c_rows = builder.gep(a_rows, [table]), builder.gep(c_rows, [table])
        offsets, numbers = types.CPointer(OFFSET), types.CPointer(kinds[0].dtype)
        left, right, terms = (numbers, offsets, OFFSET), (numbers, OFFSET), (offsets, OFFSET, OFFSET)
        parameters = *left, *right, *terms, numbers, types.boolean, numbers, offsets, OFFSET, OFFSET
        given = a, a_rows, a_col, b, b_row, runs, count, k, bias, begin, c, c_rows, rows, cols
        call_unit(context, builder, _multiply, parameters, given)  # no status: it raises no exceptions
        return context.get_dummy_value()

    return signature, generate


@unit
def _multiply(
    a: Any, a_rows: Any, a_col: int, b: Any, b_row: int, runs: Any, count: int, k: int, bias: Any, begin: bool,
    c: Any, c_rows: Any, rows: int, cols: int,
) -> None:  # fmt: skip
    _tile(a, a_rows, a_col, b, b_row, runs, count, k, bias, begin, c, c_rows, rows, cols)


@intrinsic
def _tile(
    typingctx: Any, a: Any, a_rows: Any, a_col: Any, b: Any, b_row: Any, runs: Any, count: Any, k: Any, bias: Any, begin: Any,
    c: Any, c_rows: Any, rows: Any, cols: Any,
) -> Any:  # fmt: skip
    """`multiply_tile` on addresses, where each array begins."""
    signature = types.void(a, a_rows, a_col, b, b_row, runs, count, k, bias, begin, c, c_rows, rows, cols)
    dtype = a.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a_rows, a_col, b, b_row, runs, count, k, bias, begin, c, c_rows, rows, cols = args
        v = Vectors(builder, dtype)

        def multiply(terms: Terms) -> None:
            tile = _Tile(v, terms != "masked", rows, cols, bias, begin, c, c_rows)
            starts = [a] * ROWS if terms == "strip" else [v.element(a, v.number(a_rows, tile.row(i))) for i in range(ROWS)]
            _add_runs(tile, terms, starts, a_col, b, b_row, runs, count, k)
            tile.store()

        width = I64(VECTORS * v.lanes)
        is_whole = builder.and_(builder.icmp_signed(">=", rows, I64(ROWS)), builder.icmp_signed(">=", cols, width))
        is_single, is_strip = (builder.icmp_signed("==", x, I64(n)) for x, n in ((k, 1), (a_col, ROWS)))
        with builder.if_else(is_whole) as (whole, masked):
            with whole, builder.if_else(is_single) as (single, several):
                with single:
                    multiply("single")
                with several, builder.if_else(is_strip) as (strip, in_place):
                    with strip:
                        multiply("strip")
                    with in_place:
                        multiply("in place")
            with masked:
                multiply("masked")
        return context.get_dummy_value()

    return signature, generate


def _add_runs(
    tile: _Tile, terms: Terms, starts: list[Any], a_col: Any, b: Any, b_row: Any, runs: Any, count: Any, k: Any
) -> None:
    """Add all runs to a tile, whose rows of a begin at `starts`.

    Only a tile that is not whole is added in a loop that serves all cases. In the others the
    distances in a are constants, which LLVM keeps in the instructions instead of registers.
    """
    v, builder = tile.v, tile.v.builder

    def run_of(number: Any) -> tuple[Any, Any]:
        """How far from the beginning run number `number` is in a and b."""
        pair = builder.mul(number, I64(2))
        return v.number(runs, pair), v.number(runs, builder.add(pair, I64(1)))

    def columns(p: Any) -> list[Any]:
        """How far a[i, p] is from the beginning, for each row i."""
        if terms == "strip":
            return [builder.add(builder.mul(p, I64(ROWS)), I64(i)) for i in range(ROWS)]
        return [p if terms == "in place" else builder.mul(p, a_col)] * ROWS

    def add_run(number: Any) -> None:
        a_run, b_run = run_of(number)
        rows, row = [v.element(start, a_run) for start in starts], v.element(b, b_run)
        unroll = UNROLL if tile.whole else 1
        repeat(v, k, lambda p: tile.add(rows, columns(p), v.element(row, builder.mul(p, b_row))), unroll)

    def look_up(number: Any) -> None:
        """Keep where the next run begins. (If b had to wait for that, LLVM would load all of a first, and spill sums.)"""
        with builder.if_then(builder.icmp_signed("<", number, count)):
            for place, offset in zip(places, run_of(number), strict=True):
                builder.store(offset, place)

    def add_single(number: Any) -> None:
        a_run, b_run = (builder.load(place) for place in places)
        look_up(builder.add(number, I64(1)))
        tile.add(starts, [a_run] * ROWS, v.element(b, b_run))

    if terms == "single":
        places = [cgutils.alloca_once(builder, I64) for _ in range(2)]
        look_up(I64(0))
        repeat(v, count, add_single, UNROLL)
    else:
        repeat(v, count, add_run)


def repeat(v: Vectors, count: Any, body: Any, unroll: int = 1) -> None:
    """body(0), ..., body(count - 1), `unroll` of them between two jumps."""
    builder = v.builder
    rounds = builder.sdiv(count, I64(unroll))
    with cgutils.for_range(builder, rounds) as loop:
        for u in range(unroll):
            body(builder.add(builder.mul(loop.index, I64(unroll)), I64(u)))
    if unroll > 1:
        done = builder.mul(rounds, I64(unroll))
        with cgutils.for_range(builder, builder.sub(count, done)) as loop:
            body(builder.add(done, loop.index))


class _Tile:
    """The sums of a tile.

    A whole tile is loaded and stored as it is. Another one is masked, which is slow on many
    processors without AVX-512; its rows beyond the last are computed as row 0, and not stored.
    """

    def __init__(self, v: Vectors, whole: bool, rows: Any, cols: Any, bias: Any, begin: Any, c: Any, c_rows: Any) -> None:
        self.v, self.whole, self.rows = v, whole, rows
        builder = v.builder
        widths = [builder.select(builder.icmp_signed("<", I64(i), rows), cols, I64(0)) for i in range(ROWS)]
        self.masks = [[None if whole else v.below(width, j) for j in range(VECTORS)] for width in widths]
        self.places = [v.element(c, v.number(c_rows, self.row(i))) for i in range(ROWS)]
        self.sums = [[cgutils.alloca_once(builder, v.type) for _ in range(VECTORS)] for _ in range(ROWS)]  # LLVM: registers
        with builder.if_else(begin) as (then, otherwise):
            with then:
                first = [v.load(v.at(bias, I64(0), j), None if whole else v.below(cols, j)) for j in range(VECTORS)]
                for i in range(ROWS):
                    for j in range(VECTORS):
                        builder.store(first[j], self.sums[i][j])
            with otherwise:
                for i in range(ROWS):
                    for j in range(VECTORS):
                        builder.store(v.load(v.at(self.places[i], I64(0), j), self.masks[i][j]), self.sums[i][j])

    def row(self, i: int) -> Any:
        """Where row i stands in a table of offsets."""
        builder = self.v.builder
        return I64(i) if self.whole else builder.select(builder.icmp_signed("<", I64(i), self.rows), I64(i), I64(0))

    def add(self, a: list[Any], offsets: list[Any], b: Any) -> None:
        """Add a[i, p] b[p, j]: a are the addresses of the rows, from which a[i, p] is at these offsets, b is that of row p."""
        v = self.v
        right = [v.load(v.at(b, I64(0), j)) for j in range(VECTORS)]
        for start, offset, sums in zip(a, offsets, self.sums, strict=True):
            left = v.scalar(start, offset)
            for x, place in zip(right, sums, strict=True):
                v.builder.store(v.multiply_add(left, x, v.builder.load(place)), place)

    def store(self) -> None:
        v = self.v
        for place, masks, sums in zip(self.places, self.masks, self.sums, strict=True):
            for j in range(VECTORS):
                v.store(v.builder.load(sums[j]), v.at(place, I64(0), j), masks[j])
