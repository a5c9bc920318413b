"""`Tensor`: an array that remembers which operation made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import backend, recorder
from minigrad.recorded import Recorded
from minigrad.recorder import here, tracked

if TYPE_CHECKING:
    from minigrad.engine import Op

Array = Any  # numpy.ndarray or cupy.ndarray: the two have one interface and no common type
Scalar = bool | int | float
Shape = tuple[int, ...]


class Tensor:
    """An n-dimensional array that takes part in differentiation.

    Parameters
    ----------
    data : array, Tensor, number or nested list
        NumPy and CuPy arrays are used as they are, not copied. Python floats become float32.
    requires_grad : bool
        Whether gradients with respect to this tensor can be asked for. Floating-point data only.

    Attributes
    ----------
    data : the array itself
    grad : array or None, filled by `backward()`
    op : the applied operation whose output this is; None for a leaf, one that was made by hand
    changes : a list of one number, how often the values have been changed in place, so that backward can refuse stale
        ones; a view of another tensor's memory shares its list
    """

    __slots__ = ("__weakref__", "_data", "changes", "grad", "op", "requires_grad")
    __array_ufunc__ = None  # ndarray + Tensor is the Tensor's business, not an array of Tensors

    requires_grad: bool
    grad: Array | None
    op: Op | None
    changes: list[int]

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if type(data) is not np.ndarray or data.dtype.kind not in backend.NUMBER_KINDS:
            data = backend.as_array(data.data if isinstance(data, Tensor) else data)
        elif recorder.now is not None and (program := here()):
            program.refuse(f"an array {data.shape} became a tensor that is neither computed from tensors nor `tracked`")
        self._data = data
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors can require gradients, not {data.dtype}")
        self.requires_grad = requires_grad
        self.grad = None
        self.op = None
        self.changes = [0]

    @property
    def data(self) -> Array:
        return self._data if recorder.now is None else tracked(self._data)

    @data.setter
    def data(self, data: Array) -> None:
        if program := here():
            program.refuse("a tensor is given another array, which a replay would not do; use `assign`")
        self._data = data

    @property
    def shape(self) -> Shape:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array: a view where they live on the CPU, a copy where on the GPU."""
        if program := here():
            program.refuse("a tensor's values are looked at, which a replay would not do")
        return backend.to_numpy(self.data)

    def item(self) -> Any:
        """The one value of a one-element tensor as a Python number."""
        return self.data.item()

    def detach(self) -> Tensor:
        """The same array, cut off from the graph: no gradient flows through what is returned."""
        out = Tensor(self.data)
        out.changes = self.changes
        return out

    def to(self, backend_name: str) -> Tensor:
        """The values on a backend, "numpy" or "cupy", cut off from the graph."""
        return Tensor(backend.move(self.data, backend_name))

    def assign(self, data: TensorLike) -> None:
        """Replace the values in place, as an optimizer does. Shape and dtype stay; graphs that kept this tensor are stale."""
        self.data[...] = raw(data)
        recorder.count_change(self.changes)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A leaf with the same values, of the same class."""
        copy = object.__new__(type(self))
        copy._data, copy.requires_grad = self.data.copy(order="K"), self.requires_grad
        copy.grad = None if self.grad is None else self.grad.copy()
        copy.op, copy.changes = None, [0]
        return copy

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("a tensor without axes cannot be iterated over")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), prefix="Tensor(", separator=", ", threshold=20, edgeitems=2)
        notes = [f"shape={self.shape}", f"dtype={self.dtype}"]
        if not isinstance(self.data, np.ndarray):
            notes.append("on the GPU")
        if self.op is not None:
            notes.append(f"op={self.op.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"Tensor({values}, {', '.join(notes)})"

    def __gt__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data > raw(other))

    def __ge__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data >= raw(other))

    def __lt__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data < raw(other))

    def __le__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data <= raw(other))

    # == and != compare identity, as Python objects do, so that tensors can be keys; compare `.data` for values.

    if TYPE_CHECKING:  # what needs the engine and its ops: minigrad/ops/operators.py puts them here

        @property
        def T(self) -> Tensor: ...
        def backward(self, grad_output: Tensor | None = None) -> None: ...
        def __add__(self, other: TensorLike) -> Tensor: ...
        def __radd__(self, other: TensorLike) -> Tensor: ...
        def __sub__(self, other: TensorLike) -> Tensor: ...
        def __rsub__(self, other: TensorLike) -> Tensor: ...
        def __mul__(self, other: TensorLike) -> Tensor: ...
        def __rmul__(self, other: TensorLike) -> Tensor: ...
        def __truediv__(self, other: TensorLike) -> Tensor: ...
        def __rtruediv__(self, other: TensorLike) -> Tensor: ...
        def __pow__(self, other: TensorLike) -> Tensor: ...
        def __rpow__(self, other: TensorLike) -> Tensor: ...
        def __matmul__(self, other: TensorLike) -> Tensor: ...
        def __rmatmul__(self, other: TensorLike) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...


TensorLike = Tensor | Scalar | Array
Axis = int | Sequence[int] | None


def raw(x: TensorLike) -> Any:
    """The array inside a tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def to_operand(x: TensorLike) -> Tensor | Scalar:
    """What an operator takes: tensors as they are, numbers as Python numbers, arrays wrapped.

    NumPy's own scalars are made Python numbers because `float32_array * np.float64(2)` would be float64.
    """
    if isinstance(x, np.generic) or (type(x) is Recorded and not x.ndim):  # asked first: np.float64 is a float, too
        return x.item()
    if isinstance(x, Tensor | bool | int | float):
        return x
    return Tensor(x)
