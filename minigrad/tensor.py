"""`Tensor`: an array that remembers which operation made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.arrays import backend, hooks
from minigrad.arrays.layout import axes_in_memory

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
        NumPy and CuPy arrays are used as they are, not copied, but for those of another byte order. Python floats become
        float32. float16 and longdouble are refused.
    requires_grad : bool
        Whether gradients with respect to this tensor can be asked for. Floating-point data only.

    Attributes
    ----------
    data : the array itself
    grad : array or None, filled by `backward()`
    op : the applied operation whose output this is; None for a leaf
    changes : a list holding one number, how often the values were changed in place by `assign`, by an optimizer or by
        `x.data = ...`; backward uses it to refuse stale values. A view of another tensor's memory shares its list.
    """

    __slots__ = ("__weakref__", "_data", "changes", "grad", "op", "requires_grad")
    __array_ufunc__ = None  # so that NumPy leaves `ndarray + Tensor` to Tensor.__radd__

    requires_grad: bool
    grad: Array | None
    op: Op | None
    changes: list[int]

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.changes = [0]
        if isinstance(data, Tensor):
            self.changes, data = data.changes, data.data  # one memory, one count
        elif type(data) is not np.ndarray or data.dtype not in backend.DTYPES:
            data = backend.as_data(data)
        elif hooks.captures:
            hooks.unseen(f"an array {data.shape} became a tensor that is neither computed from tensors nor `persistent`")
        self._data = data
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors can require gradients, not {data.dtype}")
        self.requires_grad = requires_grad
        self.grad = None
        self.op = None

    # `data` is where arrays enter and leave a tensor, and where a captured step watches (see minigrad.arrays.hooks).

    @property
    def data(self) -> Array:
        return hooks.persistent(self._data) if hooks.captures else self._data

    @data.setter
    def data(self, data: Array) -> None:
        hooks.unseen("a tensor is given another array, which a replay would not do; use `assign`")
        self._data = backend.as_data(data)
        self.changes[0] += 1  # the same array changed in place, as by `x.data += 1`, or another one

    def assign(self, data: TensorLike) -> None:
        """Replace the values in place, as an optimizer does. Graphs that kept the old values become stale."""
        self.data[...] = raw(data)
        hooks.count_change(self.changes)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array: a view if they are on the CPU, a copy if on the GPU."""
        hooks.unseen("a tensor's values are read, which a replay would not do")
        return backend.to_numpy(self.data)

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
        return self.data.item()

    def detach(self) -> Tensor:
        """A tensor with the same array but without a graph: no gradient flows through it."""
        out = Tensor(self.data)
        out.changes = self.changes
        return out

    def to(self, backend_name: str) -> Tensor:
        """The values on a backend, "numpy" or "cupy", without a graph."""
        data = self.data
        moved = backend.move(data, backend_name)
        return self.detach() if moved is data else Tensor(moved)

    @property
    def shape(self) -> Shape:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return F.transpose(self)

    def backward(self, grad_output: Tensor | None = None) -> None:
        """Add the gradients of this tensor to `.grad` of every leaf it depends on, and free the graph.

        `grad_output` is the cotangent of this tensor, of its shape; by default 1 for a tensor of one element.
        """
        engine.backward(self, grad_output)

    # Operators. Each is an op: what it computes and its gradient are in minigrad.ops.

    def __add__(self, other: TensorLike) -> Tensor:
        return F.add(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return F.add(self, other)

    def __sub__(self, other: TensorLike) -> Tensor:
        return F.sub(self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return F.sub(other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return F.mul(self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return F.mul(self, other)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return F.div(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return F.div(other, self)

    def __pow__(self, other: TensorLike) -> Tensor:
        return F.pow(self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return F.pow(other, self)

    def __matmul__(self, other: Tensor | Array) -> Tensor:
        return F.matmul(self, other if isinstance(other, Tensor) else Tensor(other))

    def __rmatmul__(self, other: Array) -> Tensor:
        return F.matmul(Tensor(other), self)

    def __neg__(self) -> Tensor:
        return F.neg(self)

    def __abs__(self) -> Tensor:
        return F.abs(self)

    def __getitem__(self, key: Any) -> Tensor:
        return F.index(self, key)

    # Comparisons give tensors of booleans, without gradients. == and != compare identity, as Python objects do, so that
    # tensors can be keys; compare `.data` for values.

    def __gt__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data > raw(other))

    def __ge__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data >= raw(other))

    def __lt__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data < raw(other))

    def __le__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data <= raw(other))

    # Methods: the functions of the same names in minigrad.functional.

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return F.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return F.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return F.var(self, axis, ddof, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return F.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return F.min(self, axis, keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        return F.reshape(self, *shape)

    def transpose(self, *axes: Any) -> Tensor:
        return F.transpose(self, *axes)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        return F.flatten(self, start_dim, end_dim)

    def astype(self, dtype: Any) -> Tensor:
        return F.astype(self, dtype)

    # Python's own protocols.

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

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A leaf with a copy of the values, of the same class."""
        copy = object.__new__(type(self))
        copy._data, copy.requires_grad = self.data.copy(order="K"), self.requires_grad
        copy.grad = None if self.grad is None else self.grad.copy()
        copy.op, copy.changes = None, [0]
        return copy

    def __getstate__(self) -> tuple[Array, tuple[int, ...], bool, Array | None]:
        """For pickle: a leaf with the values, in memory order, because pickle would store images channels-first."""
        data = self.data
        axes = axes_in_memory(data) or tuple(range(self.ndim))
        return data.transpose(axes), axes, self.requires_grad, self.grad

    def __setstate__(self, state: tuple[Array, tuple[int, ...], bool, Array | None]) -> None:
        in_memory, axes, self.requires_grad, self.grad = state
        self._data = in_memory.transpose(sorted(range(len(axes)), key=axes.__getitem__))
        self.op, self.changes = None, [0]

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


TensorLike = Tensor | Scalar | Array
Axis = int | Sequence[int] | None


def raw(x: TensorLike) -> Any:
    """The array inside a tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def to_operand(x: TensorLike) -> Tensor | Scalar:
    """`x` in the form that operators take: tensors as they are, numbers as Python numbers, arrays as tensors.

    NumPy's scalars, and the 0-d arrays that stand for them while a step is captured, become Python numbers, because
    `float32_array * np.float64(2)` would be float64.
    """
    if isinstance(x, np.generic):  # first, because np.float64 is a subclass of float
        return x.item()
    if isinstance(x, Tensor | bool | int | float):
        return x
    if hooks.captures and isinstance(x, np.ndarray) and type(x) is not np.ndarray and not x.ndim:
        return x.item()
    return Tensor(x)


# Operators and methods above are ops, and ops are made of tensors: this import must come after the class.
from minigrad import engine  # noqa: E402
from minigrad import functional as F  # noqa: E402
