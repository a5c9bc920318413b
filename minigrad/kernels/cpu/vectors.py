"""The micro-kernel and other operations on vector registers. numba cannot name a register, so they are LLVM instructions.

LLVM's vector types exist on every processor: if they are wider than its registers, it uses several.
A masked load or store touches only the lanes that are part of the matrix.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _compiles_for_avx512() -> bool:
    """Whether numba uses AVX-512: by the host's features, unless NUMBA_CPU_FEATURES overrides them."""
    chosen = numba.config.CPU_FEATURES
    if chosen is not None:
        return "+avx512f" in chosen.split(",")
    return llvmlite.binding.get_host_cpu_features().get("avx512f", False)


_AVX512 = _compiles_for_avx512()
VECTOR_BYTES = 64 if _AVX512 else 32
VECTORS = 2  # in a row of a tile
TILE_BYTES = VECTORS * VECTOR_BYTES  # in a row of a tile
ROWS = 13 if _AVX512 else 6  # of a tile: leaves registers for the operands, and fills the last tile of 64, 128 or 256 rows well

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_pointer, _integer = types.voidptr, types.intp


class _Vectors:
    """Builds LLVM instructions on vectors of a dtype. Addresses count bytes, offsets elements."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self.builder = builder
        self.bytes = dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.real = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.type = ir.VectorType(self.real, self.lanes)
        self.mask = ir.VectorType(ir.IntType(1), self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)

    def at(self, base: Any, offset: Any, vector: int = 0) -> Any:
        """The address of vector number `vector` after an offset."""
        start = self.builder.bitcast(base, self.real.as_pointer())
        place = self.builder.gep(start, [self.builder.add(offset, _I64(vector * self.lanes))])
        return self.builder.bitcast(place, self.type.as_pointer())

    def number(self, base: Any, offset: Any) -> Any:
        """The int64 at an offset."""
        return self.builder.load(self.builder.gep(self.builder.bitcast(base, _I64.as_pointer()), [offset]))

    def scalar(self, base: Any, offset: Any) -> Any:
        """The element at an offset, in every lane."""
        start = self.builder.bitcast(base, self.real.as_pointer())
        return self.spread(self.builder.load(self.builder.gep(start, [offset])), self.type)

    def spread(self, value: Any, kind: Any) -> Any:
        """A vector with the value in every lane."""
        nothing = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(nothing, value, _I32(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes))

    def below(self, limit: Any, vector: int) -> Any:
        """A mask: which lanes of vector number `vector` of a row come before element number `limit`."""
        numbers = ir.VectorType(_I64, self.lanes)
        places = ir.Constant(numbers, [vector * self.lanes + i for i in range(self.lanes)])
        return self.builder.icmp_signed("<", places, self.spread(limit, numbers))

    def load(self, address: Any, mask: Any = None) -> Any:
        """The vector at an address; zero where the mask is off."""
        if mask is None:
            return self.builder.load(address, align=self.bytes)
        call = self._intrinsic("masked.load", self.type, ".p0", address.type, _I32, self.mask, self.type)
        return self.builder.call(call, [address, _I32(self.bytes), mask, self.zero])

    def store(self, vector: Any, address: Any, mask: Any = None) -> None:
        if mask is None:
            self.builder.store(vector, address, align=self.bytes)
            return
        call = self._intrinsic("masked.store", ir.VoidType(), ".p0", self.type, address.type, _I32, self.mask)
        self.builder.call(call, [vector, address, _I32(self.bytes), mask])

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z, in one instruction if the processor has it."""
        return self.builder.call(self._intrinsic("fmuladd", self.type, "", *[self.type] * 3), [x, y, z])

    def _intrinsic(self, name: str, result: Any, suffix: str, *parameters: Any) -> Any:
        full_name = f"llvm.{name}.v{self.lanes}f{8 * self.bytes}{suffix}"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, parameters), full_name)


@intrinsic
def multiply_tile(
    typingctx: Any, like: Any, a: Any, a_rows: Any, a_col: Any, b: Any, b_row: Any, runs: Any, count: Any, k: Any,
    init: Any, init_rows: Any, c: Any, c_rows: Any, rows: Any, cols: Any,
) -> Any:  # fmt: skip
    """The micro-kernel: c[i, j] = init[i, j] + sum over runs and p < k of a[i, p] b[p, j], for i < rows and j < cols.

    `like` is any array of the dtype. `a`, `b`, `init` and `c` are addresses; offsets count
    elements. Row i of a, init and c begins at the offset a_rows[i], init_rows[i], c_rows[i].
    Columns of a are a_col apart, rows of b are b_row apart. Each of the `count` runs is a pair of
    offsets, added to those of a and b. `runs`, `a_rows`, `init_rows` and `c_rows` are addresses of
    int64. From b whole vectors are read, beyond cols as well.
    """
    left, right, start, result = (
        (_pointer, _pointer, _integer),
        (_pointer, _integer, _pointer, _integer, _integer),
        (_pointer, _pointer),
        (_pointer, _pointer),
    )
    signature = types.void(like, *left, *right, *start, *result, _integer, _integer)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, a, a_rows, a_col, b, b_row, runs, count, k, init, init_rows, c, c_rows, rows, cols = args
        v = _Vectors(builder, like.dtype)
        inside, a_start, c_start, sums = [], [], [], []
        for i in range(ROWS):
            is_row = builder.icmp_signed("<", _I64(i), rows)
            width = builder.select(is_row, cols, _I64(0))
            inside.append([v.below(width, j) for j in range(VECTORS)])
            row = builder.select(is_row, _I64(i), _I64(0))  # rows beyond the last read row 0, and store nothing
            a_start.append(v.number(a_rows, row))
            c_start.append(v.number(c_rows, row))
            starts = [v.load(v.at(init, v.number(init_rows, row), j), inside[i][j]) for j in range(VECTORS)]
            sums.append([cgutils.alloca_once_value(builder, start) for start in starts])  # LLVM turns these into registers
        with cgutils.for_range(builder, count) as run:
            pair = builder.mul(run.index, _I64(2))
            a_run, b_run = v.number(runs, pair), v.number(runs, builder.add(pair, _I64(1)))
            with cgutils.for_range(builder, k) as loop:
                row = builder.add(b_run, builder.mul(loop.index, b_row))
                right = [v.load(v.at(b, row, j)) for j in range(VECTORS)]
                column = builder.add(a_run, builder.mul(loop.index, a_col))
                for i in range(ROWS):
                    left = v.scalar(a, builder.add(a_start[i], column))
                    for j in range(VECTORS):
                        builder.store(v.multiply_add(left, right[j], builder.load(sums[i][j])), sums[i][j])
        for i in range(ROWS):
            for j in range(VECTORS):
                v.store(builder.load(sums[i][j]), v.at(c, c_start[i], j), inside[i][j])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_row(typingctx: Any, like: Any, source: Any, start: Any, count: Any, target: Any, place: Any, width: Any) -> Any:
    """target[place : place + width] = source[start : start + count], then zeros.

    width is at most VECTORS * lanes.
    """
    signature = types.void(like, _pointer, _integer, _integer, _pointer, _integer, _integer)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, start, count, target, place, width = args
        v = _Vectors(builder, like.dtype)
        for j in range(VECTORS):
            values = v.load(v.at(source, start, j), v.below(count, j))
            v.store(values, v.at(target, place, j), v.below(width, j))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_row(typingctx: Any, like: Any, source: Any, start: Any, target: Any, place: Any, count: Any) -> Any:
    """target[place : place + count] += source[start : start + count]; count is at most VECTORS * lanes."""
    signature = types.void(like, _pointer, _integer, _pointer, _integer, _integer)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, start, target, place, count = args
        v = _Vectors(builder, like.dtype)
        for j in range(VECTORS):
            mask = v.below(count, j)
            total = builder.fadd(v.load(v.at(target, place, j), mask), v.load(v.at(source, start, j), mask))
            v.store(total, v.at(target, place, j), mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def transpose_square(typingctx: Any, like: Any, source: Any, source_row: Any, target: Any, target_row: Any) -> Any:
    """target[j, i] = source[i, j] for lanes x lanes elements.

    Rows i and i + 1 exchange their odd and even elements, then rows i and i + 2 their odd and even
    pairs, and so on: after log2(lanes) rounds each vector holds a column.
    """
    signature = types.void(like, _pointer, _integer, _pointer, _integer)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, source_row, target, target_row = args
        v = _Vectors(builder, like.dtype)
        lanes, shuffle = v.lanes, ir.VectorType(_I32, v.lanes)
        rows = [v.load(v.at(source, builder.mul(source_row, _I64(i)))) for i in range(lanes)]
        step = 1
        while step < lanes:
            low = ir.Constant(shuffle, [n if not n & step else n - step + lanes for n in range(lanes)])
            high = ir.Constant(shuffle, [n + step if not n & step else n + lanes for n in range(lanes)])
            for i in [i for i in range(lanes) if not i & step]:
                first, second = rows[i], rows[i + step]
                rows[i] = builder.shuffle_vector(first, second, low)
                rows[i + step] = builder.shuffle_vector(first, second, high)
            step *= 2
        for i, column in enumerate(rows):
            v.store(column, v.at(target, builder.mul(target_row, _I64(i))))
        return context.get_dummy_value()

    return signature, generate
