"""`Tensor`: an array that remembers which operation made it."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Never, NoReturn, Self

import numpy as np

from minigrad import from_pytorch
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
        `x.data = ...`; backward uses it to refuse stale values. A view of another tensor's memory shares its list; a tensor
        made of another one's array does not: `Tensor(y.data).assign(...)` changes y unseen, `y.detach().assign(...)` is seen.
    """

    __slots__ = ("__weakref__", "_data", "changes", "grad", "op", "requires_grad")
    requires_grad: bool
    grad: Array | None
    op: Op | None
    changes: list[int]
    _is_state: ClassVar[bool] = False  # of a module

    def __init__(self, data: Any, requires_grad: bool = False, **unknown: Never) -> None:
        for name in unknown:
            raise TypeError(from_pytorch.refused("Tensor", name))
        self.changes = [0]
        if isinstance(data, Tensor):
            self.changes, data = data.changes, data.data  # one memory, one count
        elif type(data) is not np.ndarray or data.dtype not in backend.DTYPES:
            if _contains_tensor(data):
                raise TypeError("a list that holds tensors would lose their graph: F.stack and F.concatenate join tensors")
            data = backend.as_data(data)
        elif hooks.captures:
            hooks.unseen(f"an array {data.shape} became a tensor that is neither computed from tensors nor `persistent`")
        self._data = data
        if requires_grad:
            _check_differentiable(data.dtype)
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
        if data is None:  # NumPy would write NaN
            raise TypeError("assign: the new values are None")
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

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether gradients with respect to this leaf can be asked for. Returns the tensor."""
        if self.op is not None:
            raise RuntimeError("requires_grad_: this tensor was computed; detach() it first")
        if requires_grad:
            _check_differentiable(self.dtype)
        self.requires_grad = requires_grad
        return self

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
        return _Count(self._data.size)

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

    # `x -= y` is `x = x - y`: the name x gets a new tensor. A leaf that is trained would silently stay as it is.

    def __iadd__(self, other: TensorLike) -> Tensor:
        return self._rebindable("+") + other

    def __isub__(self, other: TensorLike) -> Tensor:
        return self._rebindable("-") - other

    def __imul__(self, other: TensorLike) -> Tensor:
        return self._rebindable("*") * other

    def __itruediv__(self, other: TensorLike) -> Tensor:
        return self._rebindable("/") / other

    def __ipow__(self, other: TensorLike) -> Tensor:
        return self._rebindable("**") ** other

    def __imatmul__(self, other: Tensor | Array) -> Tensor:
        return self._rebindable("@") @ other

    def _rebindable(self, sign: str) -> Tensor:
        if self._is_state or (self.requires_grad and self.op is None):
            raise TypeError(f"`p {sign}= x` would give the name p to a new tensor: write p.assign(p {sign} x)")
        return self

    def __getitem__(self, key: Any) -> Tensor:
        return F.index(self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a part of a tensor cannot be set, which could change a graph: use F.where, F.cat, or assign for all of it"
        )

    # Comparisons give tensors of booleans, without gradients. Hashes are of the object, so that tensors can be keys of a
    # dictionary; `x in a_list` compares values, so search lists by `any(x is y for y in a_list)`.

    def __eq__(self, other: object) -> Any:
        return Tensor(self.data == raw(other)) if _is_comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return Tensor(self.data != raw(other)) if _is_comparable(other) else NotImplemented

    __hash__ = object.__hash__

    def __gt__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data > raw(other))

    def __ge__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data >= raw(other))

    def __lt__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data < raw(other))

    def __le__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data <= raw(other))

    # Masks of booleans, as comparisons give them, combine by ~, &, | and ^.

    def __invert__(self) -> Tensor:
        return Tensor(~self.data)

    def __and__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data & raw(other))

    def __or__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data | raw(other))

    def __xor__(self, other: TensorLike) -> Tensor:
        return Tensor(self.data ^ raw(other))

    # Methods: the functions of the same names in minigrad.functional.

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return F.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return F.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return F.var(self, axis, ddof, keepdims)

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return F.std(self, axis, ddof, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return _values_only(F.max(self, axis, keepdims), axis)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return _values_only(F.min(self, axis, keepdims), axis)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return F.argmax(self, axis, keepdims)

    def exp(self) -> Tensor:
        return F.exp(self)

    def log(self) -> Tensor:
        return F.log(self)

    def sqrt(self) -> Tensor:
        return F.sqrt(self)

    def abs(self) -> Tensor:
        return F.abs(self)

    def tanh(self) -> Tensor:
        return F.tanh(self)

    def sigmoid(self) -> Tensor:
        return F.sigmoid(self)

    def relu(self) -> Tensor:
        return F.relu(self)

    def softmax(self, axis: int) -> Tensor:
        return F.softmax(self, axis)

    def clamp(self, min: float | None = None, max: float | None = None) -> Tensor:
        return F.clip(self, min, max)

    def pow(self, exponent: TensorLike) -> Tensor:
        return F.pow(self, exponent)

    def matmul(self, other: Tensor) -> Tensor:
        return F.matmul(self, other)

    def split(self, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
        return F.split(self, sizes, axis)

    def clone(self) -> Tensor:
        return F.clone(self)

    def reshape(self, *shape: Any) -> Tensor:
        return F.reshape(self, *shape)

    view = reshape

    def transpose(self, *axes: Any) -> Tensor:
        return F.transpose(self, *axes)

    permute = transpose

    def swapaxes(self, i: int, j: int) -> Tensor:
        """The tensor with two axes exchanged."""
        order = list(range(self.ndim))
        order[i], order[j] = order[j], order[i]
        return F.transpose(self, order)

    def unsqueeze(self, axis: int) -> Tensor:
        return F.expand_dims(self, axis)

    def squeeze(self, axis: Axis = None) -> Tensor:
        return F.squeeze(self, axis)

    def numel(self) -> int:
        return self._data.size

    def dim(self) -> int:
        return self._data.ndim

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
        if self.size > 1:
            raise ValueError(f"a tensor {self.shape} is neither true nor false: write x.numpy().all() or x.numpy().any()")
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(from_pytorch.missing("Tensor", name))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Tensor:
        """NumPy asks this for `array + tensor`, which is the tensors' operator, and for np.exp(x), which is refused."""
        name = _OPERATORS.get(ufunc.__name__)
        if name is None or method != "__call__" or options:
            raise TypeError(_outside(ufunc.__name__))
        return getattr(operator, name)(*map(to_operand, inputs))

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        raise TypeError(_outside(function.__name__))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __copy__(self) -> Tensor:
        """A leaf, without the graph, of the same class with the same memory, and so with the same count of changes."""
        return self._leaf(self.data, self.grad, self.changes)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A leaf of the same class with a copy of the values."""
        return self._leaf(self.data.copy(order="K"), None if self.grad is None else self.grad.copy(), [0])

    def _leaf(self, data: Array, grad: Array | None, changes: list[int]) -> Tensor:
        copy = object.__new__(type(self))
        copy._data, copy.requires_grad, copy.grad, copy.op, copy.changes = data, self.requires_grad, grad, None, changes
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


def _check_differentiable(dtype: np.dtype) -> None:
    if dtype.kind != "f":
        raise TypeError(f"only floating-point tensors can require gradients, not {dtype}")


_OPERATORS = {  # NumPy's functions behind Python's operators, and their names in `operator`
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "power": "pow", "matmul": "matmul",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "bitwise_and": "and_", "bitwise_or": "or_", "bitwise_xor": "xor",
}  # fmt: skip


def _contains_tensor(data: Any) -> bool:
    """Whether a nested list holds a tensor."""
    if not isinstance(data, list | tuple):
        return False
    types = set(map(type, data))  # of few, however long the list is
    if any(issubclass(each, Tensor) for each in types):
        return True
    return any(issubclass(each, list | tuple) for each in types) and any(map(_contains_tensor, data))


def _outside(name: str) -> str:
    instead = f"write F.{name}, or" if name in F.__all__ else "use minigrad.functional, or"
    return f"np.{name} of a tensor would leave the graph: {instead} give it x.numpy()"


class _Count(int):
    """An int that explains itself where PyTorch's `x.size()` is called."""

    def __call__(self, *_: Any) -> NoReturn:
        raise TypeError("size is the number of elements, not a method: write x.shape, or x.shape[axis]")


class _Values(Tensor):
    """What `x.max(axis)` returns: a tensor, but `values, indices = x.max(axis)` must not unpack its rows."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise TypeError("max(axis) and min(axis) return only the values; x.argmax(axis) has the indices, and split(1) the rows")


def _values_only(x: Tensor, axis: Axis) -> Tensor:
    if isinstance(axis, int):
        x.__class__ = _Values
    return x


def _is_comparable(x: object) -> bool:
    return isinstance(x, Tensor | bool | int | float | np.generic) or hasattr(x, "__array_ufunc__")


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
