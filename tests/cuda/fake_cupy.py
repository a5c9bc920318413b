"""A stand-in for `cupy` without a GPU: NumPy's memory behind a class that refuses what CuPy refuses.

    with fake_cupy.installed() as cupy:
        ...  # minigrad finds a GPU; its kernels run in the emulator

Where CuPy and NumPy differ, this module behaves like CuPy or is stricter, so that a mistake shows
without a GPU:

- CuPy and NumPy arrays do not mix, and only `.get()` turns a CuPy array into a NumPy array;
- NumPy's functions do not accept CuPy arrays (CuPy allows some; our code must use `array_module`);
- reductions and single elements are 0-d arrays, not NumPy scalars;
- elementwise results are C-contiguous, whatever the layout of the inputs (cupy/cupy#7342);
- while a stream captures a graph, nothing may wait for the GPU or call cuBLAS through CuPy;
- where the real CuPy is installed, functions that it lacks and arguments that it does not take are refused (real_cupy.py).

Memory, streams and graphs are in fake_cuda.py, NCCL in fake_nccl.py. mock_cublas.cpp replaces the cuBLAS library, which
minigrad calls itself.

Not emulated: out-of-range indices, which CuPy wraps around.
"""

from __future__ import annotations

import contextlib
import operator
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import cuda_emulator
import fake_cuda
import fake_nccl
import mock_cublas
import numpy as np
import real_cupy
from fake_cuda import Block, Stream, current_stream, launch, may_call_cublas, may_wait, room_like

from minigrad.arrays import backend
from minigrad.capture import cuda_graph

# Functions of NumPy that CuPy lacks and that our code might use by mistake.
MISSING = {"errstate", "seterr", "geterr", "nditer", "nested_iters", "frompyfunc", "asanyarray", "bool8", "matrix", "memmap"}
WITH_AT = {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"}
CUBLAS = {"matmul", "dot", "vdot", "inner", "outer", "tensordot", "einsum"}
JOINING = {"concatenate", "stack", "vstack", "hstack", "dstack"}  # with more than 8 arrays the host sends a table of addresses
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "asnumpy", "array_equal", "allclose"}  # for the result or its size

METHODS = [
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum", "diagonal", "dot",
    "flatten", "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std", "sum", "swapaxes",
    "take", "trace", "transpose", "var", "view",
]  # fmt: skip
OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal
}  # fmt: skip
FLAGS = "c_contiguous", "f_contiguous", "owndata", "fnc", "forc"
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


class ndarray:
    """An array "on the GPU". Deliberately not a subclass of numpy.ndarray."""

    __slots__ = ("_block", "_memory")
    __module__ = "cupy"
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, memory: np.ndarray, block: Block) -> None:
        self._memory, self._block = memory, block

    shape = property(lambda self: self._memory.shape)
    dtype = property(lambda self: self._memory.dtype)
    ndim = property(lambda self: self._memory.ndim)
    size = property(lambda self: self._memory.size)
    strides = property(lambda self: self._memory.strides)
    itemsize = property(lambda self: self._memory.itemsize)
    nbytes = property(lambda self: self._memory.nbytes)
    flags = property(lambda self: types.SimpleNamespace(**{name: getattr(self._memory.flags, name) for name in FLAGS}))
    T = property(lambda self: ndarray(self._memory.T, self._block))
    data = property(lambda self: types.SimpleNamespace(ptr=self._memory.ctypes.data))

    def get(self, *, out: np.ndarray | None = None, blocking: bool = True) -> np.ndarray:
        may_wait("copying to the CPU")
        if blocking:
            return self._memory.copy()
        assert out is not None
        out.view(np.uint8).fill(0xFF)  # until `synchronize`
        current_stream().copies.append((out, self._memory.copy()))
        return out

    def item(self) -> Any:
        may_wait("item()")
        return self._memory.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        may_wait("use as an index")
        return self._memory.__index__()

    def __bool__(self) -> bool:
        may_wait("bool()")
        return bool(self._memory)

    def __len__(self) -> int:
        return len(self._memory)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        return _run(operator.getitem, self, _index(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        memory, index, values = self._memory, _unwrap(_index(key)), _unwrap(value)
        launch(lambda: operator.setitem(memory, index, values))

    def fill(self, value: Any) -> None:
        self[...] = value

    def __repr__(self) -> str:
        return repr(self._memory)

    def __str__(self) -> str:
        return str(self._memory)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one explicitly.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and isinstance(inputs[0], np.generic) and not kwargs:  # scalar + array: as in CuPy
            return _run_ufunc(ufunc, *inputs)
        raise TypeError(f"numpy.{ufunc.__name__} of CuPy arrays, or of both kinds: Unsupported type {type(inputs[0])}")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a CuPy array; ask array_module(x) for the function")


def _unwrap(x: Any) -> Any:
    """Replaces stand-in arrays by their memory, at any depth of tuples, lists and dicts.

    NumPy arrays are refused.
    """
    if isinstance(x, ndarray):
        return x._memory
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(x, tuple | list):
        return type(x)(_unwrap(item) for item in x)
    if isinstance(x, dict):
        return {key: _unwrap(value) for key, value in x.items()}
    return x


def _index(key: Any) -> Any:
    """A key with CuPy's meaning: an element is a 0-d view, not a copy."""
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, ndarray) and part.dtype == bool for part in parts):
        may_wait("indexing with a mask")
    return parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)


def _run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Launch a function of NumPy on the memory of stand-in arrays. Returns stand-in arrays."""
    plain, options = _unwrap(args), _unwrap(kwargs)
    if "out" in options:
        launch(lambda: function(*plain, **options))
        return kwargs["out"]
    with np.errstate(all="ignore"):
        result = function(*plain, **options)  # while capturing, only for the shape and dtype
    inputs = list(_arrays((args, kwargs)))
    if isinstance(result, tuple | list) and any(isinstance(item, np.ndarray) for item in result):
        parts = [_output(x, inputs, lambda i=i: function(*plain, **options)[i]) for i, x in enumerate(result)]
        return type(result)(parts)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    return _output(np.asarray(result), inputs, lambda: function(*plain, **options))


def _output(result: np.ndarray, inputs: list[ndarray], recompute: Callable[[], Any]) -> ndarray:
    """A view of an input's memory, or new memory that has the result once it has been computed."""
    for x in inputs:
        if np.may_share_memory(result, x._memory):
            return ndarray(result, x._block)
    memory, block = room_like(result)
    value = recompute if Stream.capturing else lambda: result
    launch(lambda: np.copyto(memory, value()))
    return ndarray(memory, block)


def _arrays(x: Any) -> Iterator[ndarray]:
    """The stand-in arrays inside x, at any depth."""
    if isinstance(x, ndarray):
        yield x
    for item in x if isinstance(x, tuple | list) else x.values() if isinstance(x, dict) else ():
        yield from _arrays(item)


def _run_ufunc(ufunc: np.ufunc, *inputs: Any, **kwargs: Any) -> Any:
    if ufunc is np.matmul:
        may_call_cublas()
    return _run(ufunc, *inputs, **{"order": "C", **kwargs})


def _give_operators() -> None:
    """Add the operators and methods to `ndarray`."""

    def binary(ufunc: np.ufunc, swapped: bool) -> Callable[..., Any]:
        return lambda self, other: _run_ufunc(ufunc, *((other, self) if swapped else (self, other)))

    def in_place(ufunc: np.ufunc) -> Callable[..., Any]:
        def operator(self: ndarray, other: Any) -> ndarray:
            _run(ufunc, self, other, out=self)
            return self

        return operator

    def method(name: str) -> Callable[..., Any]:
        def call(self: ndarray, *args: Any, **kwargs: Any) -> Any:
            real_cupy.check_call(f"ndarray.{name}", 1 + len(args), tuple(kwargs))
            return _run(operator.methodcaller(name, *_unwrap(args), **_unwrap(kwargs)), self)

        return call

    for name, ufunc in OPERATORS.items():
        setattr(ndarray, f"__{name}__", binary(ufunc, swapped=False))
        setattr(ndarray, f"__r{name}__", binary(ufunc, swapped=True))
        setattr(ndarray, f"__i{name}__", in_place(ufunc))
    for name, ufunc in COMPARISONS.items():
        setattr(ndarray, f"__{name}__", binary(ufunc, swapped=False))
    for name, ufunc in UNARY.items():
        setattr(ndarray, f"__{name}__", lambda self, ufunc=ufunc: _run_ufunc(ufunc, self))
    for name in METHODS:
        setattr(ndarray, name, method(name))


_give_operators()


class Ufunc:
    """A NumPy ufunc on stand-in arrays. It has `at` only if it does in CuPy."""

    def __init__(self, name: str, ufunc: np.ufunc) -> None:
        self._name, self._ufunc = name, ufunc

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        real_cupy.check_call(self._name, len(inputs), tuple(kwargs))
        return _run_ufunc(self._ufunc, *inputs, **kwargs)

    @property
    def at(self) -> Callable[..., None]:
        if self._ufunc.__name__ not in WITH_AT:
            raise AttributeError(f"cupy.{self._ufunc.__name__}.at does not exist")
        return lambda *args: launch(lambda: self._ufunc.at(*_unwrap(args)))


class RawModule:
    """CUDA source, compiled at the first `get_function`, and run by the emulator."""

    def __init__(self, *, code: str, options: tuple[str, ...] = (), name_expressions: Any = None) -> None:
        self._source = code, options, name_expressions

    def get_function(self, name: str) -> Callable[..., None]:
        return RawKernel(cuda_emulator.Module(*self._source).get_function(name))


class RawKernel:
    """A kernel that takes stand-in arrays and scalars."""

    def __init__(self, kernel: cuda_emulator.Kernel) -> None:
        self._kernel = kernel

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0) -> None:
        values = [_argument(a) for a in args]
        launch(lambda: self._kernel(grid, block, values, shared_mem))

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._kernel.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, count: int) -> None:
        self._kernel.max_dynamic_shared_size_bytes = count


def _argument(a: Any) -> Any:
    """Like CuPy: the address of a CuPy array, but the value of a NumPy array of size one."""
    return a.copy().reshape(())[()] if isinstance(a, np.ndarray) and a.size == 1 else _unwrap(a)


class CUDARuntimeError(RuntimeError):
    """As in cupy.cuda.runtime."""


class Module(types.ModuleType):
    """`cupy` itself. Whatever is not defined here is NumPy's function on stand-in arrays."""

    ndarray = ndarray
    RawModule = RawModule
    __version__ = "14.2.0"
    cuda = types.SimpleNamespace(
        Stream=Stream,
        Graph=fake_cuda.Graph,
        MemoryPool=fake_cuda.MemoryPool,
        using_allocator=fake_cuda.using_allocator,
        get_current_stream=current_stream,
        alloc_pinned_memory=bytearray,
        is_available=lambda: True,
        runtime=types.SimpleNamespace(
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 13000,
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            CUDARuntimeError=CUDARuntimeError,
        ),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
        nccl=fake_nccl,
    )

    @staticmethod
    def array(obj: Any, dtype: Any = None, copy: bool | None = True) -> ndarray:
        if isinstance(obj, ndarray):
            return _run(np.array, obj, dtype, copy=copy)
        may_wait("copying to the GPU")
        return _output(np.array(obj if isinstance(obj, np.ndarray) else _unwrap(obj), dtype), [], list)

    @staticmethod
    def asarray(a: Any, dtype: Any = None) -> ndarray:
        return a if isinstance(a, ndarray) and dtype in (None, a.dtype) else Module.array(a, dtype, copy=None)

    @staticmethod
    def asnumpy(a: Any) -> np.ndarray:
        return a.get() if isinstance(a, ndarray) else np.asarray(a)

    @staticmethod
    def where(condition: Any, *choices: Any) -> Any:
        if isinstance(condition, bool | int | float):
            raise AttributeError(f"{type(condition)} object has no attribute 'astype'")  # CuPy's message
        if not choices:
            may_wait("where() with one argument")
        return _run(lambda *inputs: np.asarray(np.where(*inputs), order="C"), condition, *choices)

    @staticmethod
    def clip(a: Any, a_min: Any, a_max: Any) -> Any:
        return _run(lambda *inputs: np.asarray(np.clip(*inputs), order="C"), a, a_min, a_max)

    @staticmethod
    def empty(shape: Any, dtype: Any = float) -> ndarray:
        return ndarray(*room_like(np.empty(shape, dtype)))

    @staticmethod
    def empty_like(prototype: ndarray) -> ndarray:
        return ndarray(*room_like(np.empty_like(prototype._memory)))

    def __getattr__(self, name: str) -> Any:
        found = None if name in MISSING or name.startswith("__") else getattr(np, name)
        if found is None or isinstance(found, types.ModuleType):
            raise AttributeError(f"the stand-in for CuPy has no {name}")
        real_cupy.check_name(name)
        if isinstance(found, np.ufunc):
            return Ufunc(name, found)
        return _function(name, found) if callable(found) and not isinstance(found, type) else found


def _function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        real_cupy.check_call(name, len(args), tuple(kwargs))
        if name in CUBLAS:
            may_call_cublas()
        if name in WAITING or (name in JOINING and len(args[0]) > 8):
            may_wait(name)
        return _run(function, *args, **kwargs)

    return call


_REPLACED = ("cupy", "cuda.pathfinder", "minigrad.kernels.gpu")  # the last one keeps references to cupy


@contextlib.contextmanager
def installed() -> Iterator[Module]:
    """Context in which `import cupy` imports the stand-in, so that minigrad finds a GPU."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_REPLACED)}
    cupy, pathfinder = Module("cupy"), types.ModuleType("pathfinder")
    vars(pathfinder)["load_nvidia_dynamic_lib"] = mock_cublas.load_nvidia_dynamic_lib
    sys.modules.update({"cupy": cupy, "cupy.cuda": cupy.cuda, "cuda.pathfinder": pathfinder})
    sys.modules["cupy_backends.cuda.libs.cublas"] = types.ModuleType("cublas")
    _forget()
    try:
        yield cupy
    finally:
        for name in [name for name in sys.modules if name.startswith(_REPLACED)]:
            del sys.modules[name]
        sys.modules.update(before)
        _forget()


def _forget() -> None:
    """Clear what minigrad has cached about the machine."""
    backend.why_no_gpu.cache_clear()
    backend.kernels_named.cache_clear()
    cuda_graph._stream.cache_clear()
    kernels = sys.modules.get("minigrad.kernels")
    if kernels is not None and "gpu" in vars(kernels):
        delattr(kernels, "gpu")
