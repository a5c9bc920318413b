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
UNROLL = 4  # steps of k between two jumps
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

    def element(self, base: Any, offset: Any) -> Any:
        """The address of an element."""
        return self.builder.gep(self.builder.bitcast(base, self.real.as_pointer()), [offset])

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
    typingctx: Any, a: Any, a_start: Any, a_rows: Any, strip: Any, b: Any, b_start: Any, b_row: Any,
    runs: Any, run: Any, count: Any, k: Any, bias: Any, bias_start: Any, begin: Any,
    c: Any, c_start: Any, c_rows: Any, table: Any, rows: Any, cols: Any,
) -> Any:  # fmt: skip
    """The micro-kernel: c[i, j] = bias[j], or the old c[i, j], + sum over runs and p < k of a[i, p] b[p, j].

    For i < rows, at most ROWS, and j < cols, at most a tile's width. All arrays are flat. Row i of a
    begins at a_start + a_rows[table + i] and is contiguous; if `strip`, a is a packed strip instead,
    and a[i, p] is element p ROWS + i from a_start on. Row p of b begins at b_start + p b_row. Each of
    the `count` runs, from number `run` on, is a pair of offsets, added to those of a and b. Row i of
    c begins at c_start + c_rows[table + i]. Sums begin with the bias, from bias_start on, if `begin`
    is true. From b whole vectors are read, beyond cols as well.
    """
    offset = _integer
    left, right = (a, offset, a_rows, types.boolean), (b, offset, offset)
    sums, result = (runs, offset, offset, offset), (c, offset, c_rows, offset)
    signature = types.void(*left, *right, *sums, bias, offset, types.boolean, *result, offset, offset)
    kinds = a, a_rows, b, runs, bias, c, c_rows

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a_start, a_rows, strip, b, b_start, b_row, runs, run, count, k, bias, bias_start, begin, *result = args
        c, c_start, c_rows, table, rows, cols = result
        arrays = zip(kinds, (a, a_rows, b, runs, bias, c, c_rows), strict=True)
        a, a_rows, b, runs, bias, c, c_rows = (_data(context, builder, kind, x) for kind, x in arrays)
        v = _Vectors(builder, kinds[0].dtype)
        b = v.element(b, b_start)
        tile = _Tile(v, v.element(bias, bias_start), begin, v.element(c, c_start), c_rows, table, rows, cols)

        def multiply(whole: bool, strip: bool) -> None:
            tile.load(whole)
            starts = [v.element(a, a_start)] * ROWS
            if not strip:
                starts = [v.element(start, v.number(a_rows, tile.row(i))) for i, start in enumerate(starts)]
            with cgutils.for_range(builder, count) as loop:
                pair = builder.mul(builder.add(run, loop.index), _I64(2))
                a_run, b_run = v.number(runs, pair), v.element(b, v.number(runs, builder.add(pair, _I64(1))))
                tile.add_run([v.element(start, a_run) for start in starts], strip, b_run, b_row, k)
            tile.store()

        is_whole = builder.and_(
            builder.icmp_signed(">=", rows, _I64(ROWS)), builder.icmp_signed(">=", cols, _I64(VECTORS * v.lanes))
        )
        for whole, strips in (True, True), (True, False), (False, True), (False, False):
            if_whole, if_strip = is_whole if whole else builder.not_(is_whole), strip if strips else builder.not_(strip)
            with builder.if_then(builder.and_(if_whole, if_strip)):
                multiply(whole, strips)
        return context.get_dummy_value()

    return signature, generate


class _Tile:
    """The sums of one tile, in registers."""

    def __init__(
        self, v: _Vectors, bias: Any, begin: Any, c: Any, c_rows: Any, table: Any, rows: Any, cols: Any
    ) -> None:  # fmt: skip
        self.v, self.builder = v, v.builder
        self.bias, self.begin, self.c, self.c_rows, self.table, self.rows, self.cols = bias, begin, c, c_rows, table, rows, cols

    def row(self, i: int) -> Any:
        """The place of row i in tables of offsets; rows beyond the last are row 0, and are not stored."""
        if self.whole:
            return self.builder.add(self.table, _I64(i))
        is_row = self.builder.icmp_signed("<", _I64(i), self.rows)
        return self.builder.add(self.table, self.builder.select(is_row, _I64(i), _I64(0)))

    def load(self, whole: bool) -> None:
        """Begin with the bias or the old c."""
        v, builder = self.v, self.builder
        self.whole = whole
        self.places, self.masks, self.sums = [], [], []
        for i in range(ROWS):
            self.places.append(v.element(self.c, v.number(self.c_rows, self.row(i))))
            width = builder.select(builder.icmp_signed("<", _I64(i), self.rows), self.cols, _I64(0))
            self.masks.append([None if whole else v.below(width, j) for j in range(VECTORS)])
            self.sums.append([cgutils.alloca_once(builder, v.type) for _ in range(VECTORS)])  # LLVM makes them registers
        with builder.if_else(self.begin) as (then, otherwise):
            with then:
                starts = [v.load(v.at(self.bias, _I64(0), j), None if whole else v.below(self.cols, j)) for j in range(VECTORS)]
                for sums in self.sums:
                    for start, place in zip(starts, sums, strict=True):
                        builder.store(start, place)
            with otherwise:
                for place, masks, sums in zip(self.places, self.masks, self.sums, strict=True):
                    for j in range(VECTORS):
                        builder.store(v.load(v.at(place, _I64(0), j), masks[j]), sums[j])

    def store(self) -> None:
        for place, masks, sums in zip(self.places, self.masks, self.sums, strict=True):
            for j in range(VECTORS):
                self.v.store(self.builder.load(sums[j]), self.v.at(place, _I64(0), j), masks[j])

    def add_run(self, a: list[Any], strip: bool, b: Any, b_row: Any, k: Any) -> None:
        """Add a[i, p] b[p, j] for p < k."""
        v, builder = self.v, self.builder

        def add(p: Any) -> None:
            right = [v.load(v.at(b, builder.mul(p, b_row), j)) for j in range(VECTORS)]
            for i in range(ROWS):
                left = v.scalar(a[i], builder.add(builder.mul(p, _I64(ROWS)), _I64(i)) if strip else p)
                for x, place in zip(right, self.sums[i], strict=True):
                    builder.store(v.multiply_add(left, x, builder.load(place)), place)

        rounds = builder.sdiv(k, _I64(UNROLL))
        with cgutils.for_range(builder, rounds) as loop:
            for u in range(UNROLL):
                add(builder.add(builder.mul(loop.index, _I64(UNROLL)), _I64(u)))
        done = builder.mul(rounds, _I64(UNROLL))
        with cgutils.for_range(builder, builder.sub(k, done)) as loop:
            add(builder.add(done, loop.index))


@intrinsic
def copy_vectors(typingctx: Any, source: Any, start: Any, target: Any, place: Any, width: Any) -> Any:
    """target[place : place + width] = source[start : start + width], in whole vectors.

    width is at most VECTORS * lanes. Up to the end of the last vector, what lies beyond is read and
    overwritten as well.
    """
    signature = types.void(source, _integer, target, _integer, _integer)
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, target, place, width = args
        v = _Vectors(builder, kinds[0].dtype)
        source, target = (_data(context, builder, kind, x) for kind, x in zip(kinds, (source, target), strict=True))
        v.store(v.load(v.at(source, start)), v.at(target, place))
        for j in range(1, VECTORS):
            with builder.if_then(builder.icmp_signed(">", width, _I64(j * v.lanes))):
                v.store(v.load(v.at(source, start, j)), v.at(target, place, j))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_vectors(typingctx: Any, source: Any, start: Any, target: Any, place: Any, count: Any) -> Any:
    """target[place : place + count] += source[start : start + count]; count is at most VECTORS * lanes.

    Zeros are added to what lies beyond, up to the end of the last vector of target. (A masked store
    would be slow on many processors without AVX-512; a masked load is not.)
    """
    signature = types.void(source, _integer, target, _integer, _integer)
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, target, place, count = args
        v = _Vectors(builder, kinds[0].dtype)
        source, target = (_data(context, builder, kind, x) for kind, x in zip(kinds, (source, target), strict=True))

        def add(j: int) -> None:
            values = v.load(v.at(source, start, j), v.below(count, j))
            v.store(builder.fadd(v.load(v.at(target, place, j)), values), v.at(target, place, j))

        add(0)
        for j in range(1, VECTORS):
            with builder.if_then(builder.icmp_signed(">", count, _I64(j * v.lanes))):
                add(j)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def take(typingctx: Any, counter: Any) -> Any:
    """counter[0], an int64, which grows by 1 at once: no two threads get the same number."""
    signature = types.int64(counter)
    kinds = (counter,)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _data(context, builder, kinds[0], args[0]), _I64(1), "monotonic")

    return signature, generate


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """The address of an array's first element."""
    return context.make_array(kind)(context, builder, array).data


@intrinsic
def transpose_square(typingctx: Any, source: Any, start: Any, source_row: Any, target: Any, place: Any, target_row: Any) -> Any:
    """target[j, i] = source[i, j] for lanes x lanes elements, from `start` and `place` on, with rows so far apart.

    Rows i and i + 1 exchange their odd and even elements, then rows i and i + 2 their odd and even
    pairs, and so on: after log2(lanes) rounds each vector holds a column.
    """
    signature = types.void(source, _integer, _integer, target, _integer, _integer)
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, source_row, target, place, target_row = args
        v = _Vectors(builder, kinds[0].dtype)
        source, target = (_data(context, builder, kind, x) for kind, x in zip(kinds, (source, target), strict=True))
        source, target = v.element(source, start), v.element(target, place)
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
