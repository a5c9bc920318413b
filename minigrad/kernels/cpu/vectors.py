"""Operations on vector registers. numba cannot name a register, so they are LLVM instructions.

LLVM's vector types exist on every processor: if they are wider than its registers, it uses several.
A masked load or store touches only the lanes that are part of the matrix.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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


AVX512 = _compiles_for_avx512()
VECTOR_BYTES = 64 if AVX512 else 32
LINE_BYTES = 64  # in a cache line
VECTORS = 2  # in a row of a tile
TILE_BYTES = VECTORS * VECTOR_BYTES  # in a row of a tile
ROWS = 13 if AVX512 else 6  # of a tile: leaves registers for the operands, and fills the last tile of 64, 128 or 256 rows well


def _second_level_cache() -> int:
    """Bytes of one core's second-level cache; half a megabyte if the system does not say."""
    try:
        size = os.sysconf("SC_LEVEL2_CACHE_SIZE")  # the C library of Linux knows it
    except (AttributeError, ValueError, OSError):
        size = 0
    return min(max(size, 1 << 18), 1 << 21) if size > 0 else 1 << 19


L2_BYTES = _second_level_cache()

I32, I64 = ir.IntType(32), ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
OFFSET = types.intp


class Vectors:
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
        place = self.builder.gep(start, [self.builder.add(offset, I64(vector * self.lanes))])
        return self.builder.bitcast(place, self.type.as_pointer())

    def element(self, base: Any, offset: Any) -> Any:
        """The address of an element."""
        return self.builder.gep(self.builder.bitcast(base, self.real.as_pointer()), [offset])

    def number(self, base: Any, offset: Any) -> Any:
        """The int64 at an offset."""
        return self.builder.load(self.builder.gep(self.builder.bitcast(base, I64.as_pointer()), [offset]))

    def scalar(self, base: Any, offset: Any) -> Any:
        """The element at an offset, in every lane."""
        start = self.builder.bitcast(base, self.real.as_pointer())
        return self.spread(self.builder.load(self.builder.gep(start, [offset])), self.type)

    def spread(self, value: Any, kind: Any) -> Any:
        """A vector with the value in every lane."""
        nothing = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(nothing, value, I32(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def below(self, limit: Any, vector: int) -> Any:
        """A mask: which lanes of vector number `vector` of a row come before element number `limit`."""
        numbers = ir.VectorType(I64, self.lanes)
        places = ir.Constant(numbers, [vector * self.lanes + i for i in range(self.lanes)])
        return self.builder.icmp_signed("<", places, self.spread(limit, numbers))

    def load(self, address: Any, mask: Any = None) -> Any:
        """The vector at an address; zero where the mask is off."""
        if mask is None:
            return self.builder.load(address, align=self.bytes)
        call = self._intrinsic("masked.load", self.type, ".p0", address.type, I32, self.mask, self.type)
        return self.builder.call(call, [address, I32(self.bytes), mask, self.zero])

    def store(self, vector: Any, address: Any, mask: Any = None) -> None:
        if mask is None:
            self.builder.store(vector, address, align=self.bytes)
            return
        call = self._intrinsic("masked.store", ir.VoidType(), ".p0", self.type, address.type, I32, self.mask)
        self.builder.call(call, [vector, address, I32(self.bytes), mask])

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z, in one instruction if the processor has it."""
        return self.builder.call(self._intrinsic("fmuladd", self.type, "", *[self.type] * 3), [x, y, z])

    def _intrinsic(self, name: str, result: Any, suffix: str, *parameters: Any) -> Any:
        full_name = f"llvm.{name}.v{self.lanes}f{8 * self.bytes}{suffix}"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, parameters), full_name)


def addresses(
    context: Any, builder: Any, kinds: Sequence[Any], arrays: Sequence[Any], offsets: Sequence[Any] | None = None
) -> list[Any]:
    """Where each array begins, or its element at an offset is; `kinds` are their types."""
    starts = [context.make_array(kind)(context, builder, array).data for kind, array in zip(kinds, arrays, strict=True)]
    return starts if offsets is None else [builder.gep(x, [offset]) for x, offset in zip(starts, offsets, strict=True)]


@intrinsic
def copy(typingctx: Any, source: Any, start: Any, target: Any, place: Any, count: Any) -> Any:
    """target[place : place + count] = source[start : start + count], at memory's speed.

    LLVM makes gathers and scatters of a loop that copies element by element: to numba an index may be negative.
    """
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, target, place, count = args
        there, here = addresses(context, builder, kinds, (source, target), (start, place))
        cgutils.raw_memcpy(builder, here, there, count, kinds[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, OFFSET, target, OFFSET, OFFSET), generate


@intrinsic
def clear(typingctx: Any, target: Any, place: Any, count: Any) -> Any:
    """target[place : place + count] = 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (here,) = addresses(context, builder, (target,), args[:1], args[1:2])
        cgutils.memset(builder, here, builder.mul(args[2], I64(target.dtype.bitwidth // 8)), 0)
        return context.get_dummy_value()

    return types.void(target, OFFSET, OFFSET), generate


@intrinsic
def copy_vectors(typingctx: Any, source: Any, start: Any, target: Any, place: Any, width: Any) -> Any:
    """target[place : place + width] = source[start : start + width], in whole vectors.

    width is at most VECTORS * lanes. Up to the end of the last vector, what lies beyond is read and
    overwritten as well.
    """
    signature = types.void(source, OFFSET, target, OFFSET, OFFSET)
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, target, place, width = args
        v = Vectors(builder, kinds[0].dtype)
        source, target = addresses(context, builder, kinds, (source, target))
        v.store(v.load(v.at(source, start)), v.at(target, place))
        for j in range(1, VECTORS):
            with builder.if_then(builder.icmp_signed(">", width, I64(j * v.lanes))):
                v.store(v.load(v.at(source, start, j)), v.at(target, place, j))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_vectors(typingctx: Any, source: Any, start: Any, target: Any, place: Any, count: Any) -> Any:
    """target[place : place + count] += source[start : start + count]; count is at most VECTORS * lanes.

    Zeros are added to what lies beyond, up to the end of the last vector of target. (A masked store
    would be slow on many processors without AVX-512; a masked load is not.)
    """
    signature = types.void(source, OFFSET, target, OFFSET, OFFSET)
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, target, place, count = args
        v = Vectors(builder, kinds[0].dtype)
        source, target = addresses(context, builder, kinds, (source, target))

        def add(j: int) -> None:
            values = v.load(v.at(source, start, j), v.below(count, j))
            v.store(builder.fadd(v.load(v.at(target, place, j)), values), v.at(target, place, j))

        add(0)
        for j in range(1, VECTORS):
            with builder.if_then(builder.icmp_signed(">", count, I64(j * v.lanes))):
                add(j)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def transpose_square(typingctx: Any, source: Any, start: Any, source_row: Any, target: Any, place: Any, target_row: Any) -> Any:
    """target[j, i] = source[i, j] for lanes x lanes elements, from `start` and `place` on, with rows so far apart.

    Rows i and i + 1 exchange their odd and even elements, then rows i and i + 2 their odd and even
    pairs, and so on: after log2(lanes) rounds each vector holds a column.
    """
    signature = types.void(source, OFFSET, OFFSET, target, OFFSET, OFFSET)
    kinds = source, target

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, start, source_row, target, place, target_row = args
        v = Vectors(builder, kinds[0].dtype)
        source, target = addresses(context, builder, kinds, (source, target))
        source, target = v.element(source, start), v.element(target, place)
        lanes, shuffle = v.lanes, ir.VectorType(I32, v.lanes)
        rows = [v.load(v.at(source, builder.mul(source_row, I64(i)))) for i in range(lanes)]
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
            v.store(column, v.at(target, builder.mul(target_row, I64(i))))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def prefetch(typingctx: Any, x: Any, offset: Any) -> Any:
    """Ask for the cache line of x[offset], which may lie beyond the array: what follows does not wait for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (start,) = addresses(context, builder, (signature.args[0],), args[:1])
        address = builder.bitcast(builder.gep(start, [args[1]]), BYTES)
        kind = ir.FunctionType(ir.VoidType(), [address.type, I32, I32, I32])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [address, I32(0), I32(3), I32(1)])  # for reading, into all caches, data
        return context.get_dummy_value()

    return types.void(x, OFFSET), generate
