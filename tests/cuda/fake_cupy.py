"""A stand-in for `cupy` where there is no GPU: NumPy's memory behind a class that refuses what CuPy refuses.

    with fake_cupy.installed() as cupy:
        ...  # minigrad finds a GPU; its kernels run in the emulator

Where CuPy and NumPy differ, this module sides with CuPy or is stricter, so that a mistake shows without a GPU:

- arrays of the two do not mix, and a CuPy array becomes a NumPy array by `.get()` only;
- NumPy's functions do not take CuPy arrays (CuPy lets some pass: our code is to ask `array_module`);
- reductions and elements are arrays without axes, not NumPy scalars;
- elementwise results are in C order, whatever the order of the inputs (cupy/cupy#7342);
- while a stream captures a graph, nothing may wait for the GPU or call CuPy's cuBLAS.

minigrad's own calls of cuBLAS find mock_cublas.cpp in the library's place.

Left out: out-of-range indices, which CuPy wraps around, and graphs that can be launched.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import cuda_emulator
import mock_cublas
import numpy as np

from minigrad import backend

# What NumPy has and CuPy does not, of what one might reach for.
MISSING = {"errstate", "seterr", "geterr", "nditer", "nested_iters", "frompyfunc", "asanyarray", "bool8", "matrix", "memmap"}
WITH_AT = {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"}
CUBLAS = {"matmul", "dot", "vdot", "inner", "outer", "tensordot", "einsum"}
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "asnumpy", "array_equal", "allclose"}  # the size or the answer

METHODS = [
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum", "diagonal", "dot", "fill",
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
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


class ndarray:
    """An array "on the GPU". Deliberately no subclass of numpy.ndarray."""

    __slots__ = ("_memory",)
    __module__ = "cupy"
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, memory: np.ndarray) -> None:
        self._memory = memory

    shape = property(lambda self: self._memory.shape)
    dtype = property(lambda self: self._memory.dtype)
    ndim = property(lambda self: self._memory.ndim)
    size = property(lambda self: self._memory.size)
    strides = property(lambda self: self._memory.strides)
    itemsize = property(lambda self: self._memory.itemsize)
    nbytes = property(lambda self: self._memory.nbytes)
    flags = property(lambda self: self._memory.flags)
    T = property(lambda self: ndarray(self._memory.T))
    data = property(lambda self: types.SimpleNamespace(ptr=self._memory.ctypes.data))

    def get(self) -> np.ndarray:
        _may_wait("copying to the CPU")
        return self._memory.copy()

    def item(self) -> Any:
        _may_wait("item()")
        return self._memory.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        _may_wait("use as an index")
        return self._memory.__index__()

    def __bool__(self) -> bool:
        _may_wait("bool()")
        return bool(self._memory)

    def __len__(self) -> int:
        return len(self._memory)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        return _wrap(self._memory[_index(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._memory[_index(key)] = _unwrap(value)

    def __repr__(self) -> str:
        return repr(self._memory)

    def __str__(self) -> str:
        return str(self._memory)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one explicitly.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and isinstance(inputs[0], np.generic) and not kwargs:  # scalar + array: as CuPy's own
            return _run_ufunc(ufunc, *inputs)
        raise TypeError(f"numpy.{ufunc.__name__} of CuPy arrays, or of both kinds: Unsupported type {type(inputs[0])}")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a CuPy array; ask array_module(x) for the function")


def _unwrap(x: Any) -> Any:
    """The NumPy arrays inside, at any depth of tuples, lists and dicts. NumPy's own arrays are refused."""
    if isinstance(x, ndarray):
        return x._memory
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(x, tuple | list):
        return type(x)(_unwrap(item) for item in x)
    if isinstance(x, dict):
        return {key: _unwrap(value) for key, value in x.items()}
    return x


def _wrap(x: Any) -> Any:
    """Arrays and NumPy scalars as stand-in arrays; anything else as it is."""
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(np.asarray(x))
    if isinstance(x, tuple | list) and any(isinstance(item, np.ndarray) for item in x):
        return type(x)(_wrap(item) for item in x)
    return x


def _index(key: Any) -> Any:
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, ndarray) and part.dtype == bool:
            _may_wait("indexing with a mask")
    return _unwrap(key)


def _run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call NumPy on the memory of stand-in arrays. Dividing by zero and the like give no warnings on a GPU."""
    with np.errstate(all="ignore"):
        return _wrap(function(*_unwrap(args), **_unwrap(kwargs)))


def _run_ufunc(ufunc: np.ufunc, *inputs: Any, **kwargs: Any) -> Any:
    if ufunc is np.matmul:
        _may_call_cublas()
    return _run(ufunc, *inputs, **{"order": "C", **kwargs})


def _may_wait(what: str) -> None:
    if Stream.capturing:
        raise RuntimeError(f"{what} waits for the GPU, which is not allowed while a stream captures")


def _may_call_cublas() -> None:
    if Stream.capturing:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def _give_operators() -> None:
    """Put the operators and methods into `ndarray`."""

    def binary(ufunc: np.ufunc, swapped: bool) -> Callable[..., Any]:
        return lambda self, other: _run_ufunc(ufunc, *((other, self) if swapped else (self, other)))

    def in_place(ufunc: np.ufunc) -> Callable[..., Any]:
        def operator(self: ndarray, other: Any) -> ndarray:
            _run(ufunc, self, other, out=self)
            return self

        return operator

    def method(name: str) -> Callable[..., Any]:
        return lambda self, *args, **kwargs: _run(getattr(self._memory, name), *args, **kwargs)

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
    """A NumPy ufunc on stand-in arrays. `at` exists for the ones that have it in CuPy."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        return _run_ufunc(self._ufunc, *inputs, **kwargs)

    @property
    def at(self) -> Callable[..., None]:
        if self._ufunc.__name__ not in WITH_AT:
            raise AttributeError(f"cupy.{self._ufunc.__name__}.at does not exist")
        return lambda a, indices, b: self._ufunc.at(_unwrap(a), _index(indices), _unwrap(b))


class RawModule:
    """CUDA source; compiled when a kernel is asked for, run by the emulator."""

    def __init__(self, *, code: str, options: tuple[str, ...] = (), name_expressions: Any = None) -> None:
        self._source = code, options, name_expressions

    def get_function(self, name: str) -> Callable[..., None]:
        return RawKernel(cuda_emulator.Module(*self._source).get_function(name))


class RawKernel:
    """A kernel that takes stand-in arrays and scalars."""

    def __init__(self, kernel: cuda_emulator.Kernel) -> None:
        self._kernel = kernel

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0) -> None:
        self._kernel(grid, block, _unwrap(args), shared_mem)

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._kernel.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, count: int) -> None:
        self._kernel.max_dynamic_shared_size_bytes = count


class Stream:
    """A stream that does its work at once. While it captures, what a GPU would refuse is refused."""

    capturing = False
    current: list[Stream] = []  # those that were entered, the innermost last
    _addresses = itertools.count(1)

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(Stream._addresses)

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        Stream.current.pop()

    def begin_capture(self, mode: Any = None) -> None:
        Stream.capturing = True
        mock_cublas.capture(True)

    def end_capture(self) -> None:
        Stream.capturing = False
        mock_cublas.capture(False)

    def is_capturing(self) -> bool:
        return Stream.capturing

    def synchronize(self) -> None:
        _may_wait("synchronize()")


def _current_stream() -> Stream:
    return Stream.current[-1] if Stream.current else Stream(null=True)


class CUDARuntimeError(RuntimeError):
    """As in cupy.cuda.runtime."""


class Module(types.ModuleType):
    """`cupy` itself: what is not defined here is NumPy's function, on stand-in arrays."""

    ndarray = ndarray
    RawModule = RawModule
    __version__ = "14.2.0"
    cuda = types.SimpleNamespace(
        Stream=Stream,
        get_current_stream=_current_stream,
        is_available=lambda: True,
        runtime=types.SimpleNamespace(
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 13000,
            getDeviceCount=lambda: 1,
            getDevice=lambda: 0,
            CUDARuntimeError=CUDARuntimeError,
        ),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
    )

    @staticmethod
    def array(x: Any, dtype: Any = None, copy: bool | None = True) -> ndarray:
        if isinstance(x, ndarray):
            return ndarray(np.array(x._memory, dtype, copy=copy))
        _may_wait("copying to the GPU")
        return ndarray(np.array(x if isinstance(x, np.ndarray) else _unwrap(x), dtype))

    @staticmethod
    def asarray(x: Any, dtype: Any = None) -> ndarray:
        return x if isinstance(x, ndarray) and dtype in (None, x.dtype) else Module.array(x, dtype, copy=None)

    @staticmethod
    def asnumpy(x: Any) -> np.ndarray:
        return x.get() if isinstance(x, ndarray) else np.asarray(x)

    @staticmethod
    def where(condition: Any, *choices: Any) -> Any:
        if isinstance(condition, bool | int | float):
            raise AttributeError(f"{type(condition)} object has no attribute 'astype'")  # what CuPy says
        if not choices:
            _may_wait("where() with one argument")
        return _in_c_order(_run(np.where, condition, *choices))

    @staticmethod
    def clip(x: Any, low: Any = None, high: Any = None) -> Any:
        return _in_c_order(_run(np.clip, x, low, high))

    def __getattr__(self, name: str) -> Any:
        if name in MISSING or name.startswith("__"):
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        found = getattr(np, name)
        if isinstance(found, np.ufunc):
            return Ufunc(found)
        return _function(name, found) if callable(found) and not isinstance(found, type) else found


def _function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if name in CUBLAS:
            _may_call_cublas()
        if name in WAITING:
            _may_wait(name)
        return _run(function, *args, **kwargs)

    return call


def _in_c_order(x: Any) -> Any:
    return ndarray(np.asarray(x._memory, order="C")) if isinstance(x, ndarray) else x


_REPLACED = ("cupy", "cuda.pathfinder", "minigrad.kernels.gpu")  # the last remember their cupy


@contextlib.contextmanager
def installed() -> Iterator[Module]:
    """Context in which `import cupy` gives the stand-in and minigrad believes in a GPU."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_REPLACED)}
    cupy, pathfinder = Module("cupy"), types.ModuleType("pathfinder")
    vars(pathfinder)["load_nvidia_dynamic_lib"] = mock_cublas.load_nvidia_dynamic_lib
    sys.modules.update({"cupy": cupy, "cuda.pathfinder": pathfinder})
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
    """Clear what minigrad remembers of the machine."""
    backend.why_no_gpu.cache_clear()
    backend.kernels_named.cache_clear()
    kernels = sys.modules.get("minigrad.kernels")
    if kernels is not None and "gpu" in vars(kernels):
        delattr(kernels, "gpu")
