"""The engine on one page: reverse-mode differentiation with gradients of gradients, and a GAN that needs both.

    python -m minigrad.tiny

Read this file first. It imports only NumPy, and nothing imports it. Names and order are the real engine's:

    here                   there                what the real one adds
    Tensor                 minigrad/tensor.py   float32, arrays on a GPU, errors that explain; it notices changes in place
    Op, grad               minigrad/engine.py   keeps only the values that backward needs, and frees them on the way
    Add ... SumTo          minigrad/ops         convolutions, norms, losses; corner cases; fused backward kernels
    x @ y                  minigrad/kernels     the heavy loops, as machine code for CPUs and GPUs
    Adam, MLP              minigrad/optim.py, nn   other optimizers and layers, with PyTorch's names and numbers
    the loop in `train`    minigrad/capture     a training step captured once and replayed without Python's overhead

An `Op` is a differentiable function; once applied, it is a node of the graph. Its `forward` takes and returns arrays. For each
input x, `backward_x` turns g, the gradient of the final number with respect to the output, into the gradient with respect to x.
It computes with Tensors, so it makes a graph too, and a gradient can be differentiated like anything else.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]
grad_enabled = True
clock = itertools.count()  # stamps ops in the order they are applied: whatever made an op's inputs has a smaller stamp


class Tensor:
    """An array of float64 numbers that remembers which op made it."""

    __array_ufunc__ = None  # so that NumPy leaves `array * tensor` to Tensor.__rmul__

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = np.asarray(data, dtype=np.float64)
        self.requires_grad = requires_grad
        self.op: Op | None = None  # None for a leaf

    # fmt: off
    def detach(self) -> Tensor: return Tensor(self.data)  # the same array without a graph: no gradient flows through it
    def __add__(self, other: Any) -> Tensor: return Add()(self, other)
    def __mul__(self, other: Any) -> Tensor: return Mul()(self, other)
    def __pow__(self, other: Any) -> Tensor: return Pow()(self, other)
    def __matmul__(self, other: Any) -> Tensor: return MatMul()(self, other)
    def __neg__(self) -> Tensor: return self * -1
    def __sub__(self, other: Any) -> Tensor: return self + other * -1
    def __rsub__(self, other: Any) -> Tensor: return -self + other
    def __truediv__(self, other: Any) -> Tensor: return self * other**-1.0
    __radd__, __rmul__ = __add__, __mul__
    # fmt: on

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def T(self) -> Tensor:
        return Transpose()(self)

    def sum(self, axis: int | None = None) -> Tensor:
        """The sum of all elements, or over one axis, which stays with length 1 (NumPy's keepdims=True)."""
        return sum_to(self, () if axis is None else self.data.sum(axis, keepdims=True).shape)

    def mean(self) -> Tensor:
        return self.sum() * (1 / self.data.size)


class Op:
    """A differentiable function of arrays; once applied, a node of the graph."""

    forward: Callable[..., Array]

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the op: run `forward`, and add the node to the graph if a gradient may be asked for later."""
        self.inputs = [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
        out = Tensor(self.forward(*(x.data for x in self.inputs)))
        if grad_enabled and any(x.requires_grad for x in self.inputs):
            self.parents = [(x.op or x) if x.requires_grad else None for x in self.inputs]
            self.stamp, self.out = next(clock), out.data
            out.op, out.requires_grad = self, True
        return out

    def vjp(self, i: int, g: Tensor) -> Tensor:
        """The vector-Jacobian product: the gradient of input number `i` from the gradient `g` of the output."""
        out = Tensor(self.out, requires_grad=True)
        out.op = self
        known = dict(zip(arguments(self.forward), self.inputs, strict=True), out=out)
        backward = getattr(self, f"backward_{arguments(self.forward)[i]}")
        return sum_to(backward(g, *(known[name] for name in arguments(backward)[1:])), self.inputs[i].shape)


def arguments(method: Any) -> tuple[str, ...]:
    return method.__code__.co_varnames[1 : method.__code__.co_argcount]


# The ops. An input without a backward method, such as an exponent, has derivative zero.
# fmt: off

class Add(Op):
    """x + y"""
    def forward(self, x: Array, y: Array) -> Array: return x + y
    def backward_x(self, g: Tensor) -> Tensor: return g
    def backward_y(self, g: Tensor) -> Tensor: return g

class Mul(Op):
    """x * y.    d(xy) = y dx + x dy"""
    def forward(self, x: Array, y: Array) -> Array: return x * y
    def backward_x(self, g: Tensor, y: Tensor) -> Tensor: return g * y
    def backward_y(self, g: Tensor, x: Tensor) -> Tensor: return g * x

class Pow(Op):
    """x ** y.    d(x^y) = y x^(y-1) dx + x^y log(x) dy"""
    def forward(self, x: Array, y: Array) -> Array: return x**y
    def backward_x(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor: return g * (y * x ** (y - 1))
    def backward_y(self, g: Tensor, x: Tensor, out: Tensor) -> Tensor: return g * out * log(x)

class Exp(Op):
    """e^x.    de^x = e^x dx"""
    def forward(self, x: Array) -> Array: return np.exp(x)
    def backward_x(self, g: Tensor, out: Tensor) -> Tensor: return g * out

class Log(Op):
    """Natural logarithm.    d log x = dx / x"""
    def forward(self, x: Array) -> Array: return np.log(x)
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor: return g / x

class Tanh(Op):
    """Hyperbolic tangent.    d tanh(x) = (1 - tanh(x)^2) dx"""
    def forward(self, x: Array) -> Array: return np.tanh(x)
    def backward_x(self, g: Tensor, out: Tensor) -> Tensor: return g * (1 - out * out)

class Sigmoid(Op):
    """s = 1 / (1 + e^-x).    ds = s (1 - s) dx"""
    def forward(self, x: Array) -> Array: return np.exp(-np.logaddexp(0, -x))
    def backward_x(self, g: Tensor, out: Tensor) -> Tensor: return g * (out * (1 - out))

class Softplus(Op):
    """log(1 + e^x), accurate for large |x|.    d softplus(x) = sigmoid(x) dx"""
    def forward(self, x: Array) -> Array: return np.logaddexp(0, x)
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor: return g * sigmoid(x)

class LeakyReLU(Op):
    """x where x > 0, else slope * x.    The derivative is 1 or slope: constants, so a raw array may enter backward here."""
    def __init__(self, slope: float) -> None: self.slope = slope
    def forward(self, x: Array) -> Array: return np.where(x > 0, x, self.slope * x)
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor: return g * np.where(x.data > 0, 1, self.slope)

class MatMul(Op):
    """a @ b for matrices.    da = g b^T, db = a^T g"""
    def forward(self, a: Array, b: Array) -> Array: return a @ b
    def backward_a(self, g: Tensor, b: Tensor) -> Tensor: return g @ b.T
    def backward_b(self, g: Tensor, a: Tensor) -> Tensor: return a.T @ g

class Transpose(Op):
    """Axes in reverse order."""
    def forward(self, x: Array) -> Array: return x.T
    def backward_x(self, g: Tensor) -> Tensor: return g.T

class BroadcastTo(Op):
    """x repeated along axes of length 1 and along new leading axes.    The cotangents of the copies are summed."""
    def __init__(self, shape: Shape) -> None: self.shape = shape
    def forward(self, x: Array) -> Array: return np.broadcast_to(x, self.shape)
    def backward_x(self, g: Tensor) -> Tensor: return g  # `vjp` sums it to the shape of x

class SumTo(Op):
    """x summed over the axes along which `shape` broadcasts to x's shape: the transpose of `BroadcastTo`."""
    def __init__(self, shape: Shape) -> None: self.shape = shape
    def forward(self, x: Array) -> Array:
        new = x.ndim - len(self.shape)
        return x.sum(tuple(i for i in range(x.ndim) if i < new or self.shape[i - new] == 1)).reshape(self.shape)
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor: return BroadcastTo(x.shape)(g)

def log(x: Tensor) -> Tensor: return Log()(x)
def exp(x: Tensor) -> Tensor: return Exp()(x)
def tanh(x: Tensor) -> Tensor: return Tanh()(x)
def sigmoid(x: Tensor) -> Tensor: return Sigmoid()(x)
def softplus(x: Tensor) -> Tensor: return Softplus()(x)
def leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor: return LeakyReLU(slope)(x)
def sum_to(x: Tensor, shape: Shape) -> Tensor: return x if x.shape == shape else SumTo(shape)(x)
# fmt: on


def grad(output: Tensor, inputs: Sequence[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Gradients of `output`, a single number, with respect to each of `inputs`. With `create_graph` they have a graph too."""
    targets = [x.op or x for x in inputs]

    # The ops on a path from a target to the output, oldest first. All others are skipped.
    on_path: set[Op | Tensor | None] = set(targets)
    path = []
    for op in sorted(ancestors(output.op), key=lambda op: op.stamp):
        if not on_path.isdisjoint(op.parents):
            on_path.add(op)
            path.append(op)

    # From the newest op to the oldest: when an op's turn comes, all its consumers have sent their cotangents.
    cotangents: dict[Op | Tensor | None, Tensor] = {output.op or output: Tensor(np.ones_like(output.data))}
    with set_grad_enabled(create_graph):
        for op in reversed(path):
            for i, parent in enumerate(op.parents):
                if parent in on_path:
                    g = op.vjp(i, cotangents[op])
                    cotangents[parent] = cotangents[parent] + g if parent in cotangents else g
    return [cotangents.get(target, Tensor(np.zeros(x.shape))) for target, x in zip(targets, inputs, strict=True)]


def ancestors(root: Op | None) -> set[Op]:
    """`root` and all ops before it."""
    found: set[Op] = set()
    todo: list[Op | Tensor | None] = [root]
    while todo:
        op = todo.pop()
        if isinstance(op, Op) and op not in found:
            found.add(op)
            todo += op.parents
    return found


@contextlib.contextmanager
def set_grad_enabled(on: bool) -> Iterator[None]:
    """Context in which ops are added to the graph, or not."""
    global grad_enabled
    before, grad_enabled = grad_enabled, on
    try:
        yield
    finally:
        grad_enabled = before


class Adam:
    """Steps of size lr along the mean of past gradients, divided by the root of their mean square. (Kingma and Ba, 2015)"""

    def __init__(self, params: Sequence[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.params, self.lr, self.betas, self.steps = params, lr, betas, 0
        self.m, self.v = ([np.zeros(p.shape) for p in params] for _ in range(2))

    def step(self, grads: Sequence[Tensor]) -> None:
        self.steps += 1
        b1, b2 = self.betas
        for p, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            m += (1 - b1) * (g.data - m)
            v += (1 - b2) * (g.data**2 - v)
            p.data -= self.lr * (m / (1 - b1**self.steps)) / (np.sqrt(v / (1 - b2**self.steps)) + 1e-8)


class MLP:
    """Fully connected layers with leaky ReLUs between them: (n, sizes[0]) to (n, sizes[-1])."""

    def __init__(self, rng: np.random.Generator, *sizes: int) -> None:
        self.weights = [Tensor(rng.normal(0, (2 / n) ** 0.5, (n, m)), True) for n, m in itertools.pairwise(sizes)]
        self.biases = [Tensor(np.zeros(m), True) for m in sizes[1:]]

    def __call__(self, x: Tensor) -> Tensor:
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = leaky_relu(x @ w + b)
        return x @ self.weights[-1] + self.biases[-1]

    def parameters(self) -> list[Tensor]:
        return self.weights + self.biases
