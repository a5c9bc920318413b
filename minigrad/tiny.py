"""The engine on one page: reverse-mode differentiation, gradients of gradients, and a GAN that needs both.

    python -m minigrad.tiny

Read this file first. It imports only NumPy, and nothing imports it. Names and order are the real engine's:

    here             there                        what the real one adds
    Tensor           minigrad/tensor.py           float32, arrays on a GPU, errors that explain, counts of changes in place
    Op, grad         minigrad/engine.py           keeps only the values that backward needs, and frees them on the way
    Add ... SumTo    minigrad/ops                 convolutions, norms, losses; corner cases; fused backward kernels
    forward          minigrad/kernels             the heavy loops, compiled for CPUs and GPUs
    Adam, MLP        minigrad/optim.py, nn        other optimizers and layers, with PyTorch's names and numbers
    train            minigrad/capture, gans       steps captured once and replayed without Python's overhead; images

An `Op` is a differentiable function; once applied, it is a node of the graph. Its `forward` takes and returns arrays. For each
input x, `backward_x` turns g, the cotangent of the output, into the cotangent of x. (The cotangent of a tensor is the gradient
of the final number with respect to it.) It computes with Tensors, so gradients can have a graph and be differentiated again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# fmt: off
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

    @property
    def shape(self) -> Shape: return self.data.shape
    @property
    def T(self) -> Tensor: return Transpose()(self)
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
    def sum(self, axis: int | None = None) -> Tensor:
        """The sum of all elements, or over one axis, which stays with length 1 (NumPy's keepdims=True)."""
        return sum_to(self, () if axis is None else self.data.sum(axis, keepdims=True).shape)
    def mean(self) -> Tensor: return self.sum() / self.data.size

class Op:
    """A differentiable function of arrays; once applied, a node of the graph."""
    forward: Callable[..., Array]

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the op: run `forward`, and add the node to the graph if a gradient may be asked for later."""
        self.inputs = [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
        self.out = out = Tensor(self.forward(*(x.data for x in self.inputs)))
        if grad_enabled and any(x.requires_grad for x in self.inputs):
            self.parents = [(x.op or x) if x.requires_grad else None for x in self.inputs]  # an op, a leaf, or None
            self.stamp = next(clock)
            out.op, out.requires_grad = self, True
        return out

    def vjp(self, i: int, g: Tensor) -> Tensor:
        """The vector-Jacobian product: the cotangent of input number `i` from the cotangent `g` of the output."""
        names = arguments(self.forward)
        backward = getattr(self, f"backward_{names[i]}")
        known = dict(zip(names, self.inputs, strict=True), out=self.out)  # backward_x(g, y) gets the input y of forward(x, y)
        x = backward(g, *(known[name] for name in arguments(backward)[1:]))
        return sum_to(x, self.inputs[i].shape)  # if the input was broadcast, the cotangents of its copies are summed

def arguments(method: Any) -> tuple[str, ...]:
    return method.__code__.co_varnames[1 : method.__code__.co_argcount]

# The ops. A backward method names the inputs that it needs, or `out` for the output. An exponent, without one, is a constant.

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
    """x ** y for a number y.    d(x^y) = y x^(y-1) dx"""
    def forward(self, x: Array, y: Array) -> Array: return x**y
    def backward_x(self, g: Tensor, x: Tensor, y: Tensor) -> Tensor: return g * (y * x ** (y - 1))

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

class Softplus(Op):
    """log(1 + e^x), accurate for large |x|.    d softplus(x) = sigmoid(x) dx"""
    def forward(self, x: Array) -> Array: return np.logaddexp(0, x)
    def backward_x(self, g: Tensor, x: Tensor) -> Tensor: return g * sigmoid(x)

class LeakyReLU(Op):
    """x where x > 0, else slope * x.    The derivative is 1 or slope: a constant, so an array may stand for it."""
    def __init__(self, slope: float) -> None: self.slope = slope
    def forward(self, x: Array) -> Array: return np.where(x > 0, x, self.slope * x)
    def backward_x(self, g: Tensor, out: Tensor) -> Tensor: return g * np.where(out.data > 0, 1, self.slope)

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
def softplus(x: Tensor) -> Tensor: return Softplus()(x)
def sigmoid(x: Tensor) -> Tensor: return exp(-softplus(-x))  # 1 / (1 + e^-x), without overflow
def leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor: return LeakyReLU(slope)(x)
def sum_to(x: Tensor, shape: Shape) -> Tensor: return x if x.shape == shape else SumTo(shape)(x)

def grad(output: Tensor, inputs: Sequence[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Gradients of `output`, a single number, with respect to each of `inputs`; with `create_graph` they have a graph too."""
    global grad_enabled
    targets = [x.op or x for x in inputs]
    # The ops on a path from a target to the output, oldest first. All others are skipped.
    on_path: set[Op | Tensor | None] = set(targets)
    path = []
    for op in sorted(ancestors(output.op), key=lambda op: op.stamp):
        if not on_path.isdisjoint(op.parents):
            on_path.add(op)
            path.append(op)
    # From the newest op, with dL/dL = 1, to the oldest: before an op's turn, all its consumers have sent their contributions.
    cotangents: dict[Op | Tensor | None, Tensor] = {output.op or output: Tensor(np.ones_like(output.data))}
    before, grad_enabled = grad_enabled, create_graph
    for op in reversed(path):
        for i, parent in enumerate(op.parents):
            if parent in on_path:
                g = op.vjp(i, cotangents[op])
                cotangents[parent] = cotangents[parent] + g if parent in cotangents else g
    grad_enabled = before
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

class Adam:
    """Steps of size lr along the mean of past gradients, divided by the root of their mean square. (Kingma and Ba, 2015)"""
    def __init__(self, params: Sequence[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.params, self.lr, self.betas, self.steps = params, lr, betas, 0
        self.m, self.v = ([np.zeros(p.shape) for p in params] for _ in range(2))

    def step(self, grads: Sequence[Tensor]) -> None:
        b1, b2, self.steps = *self.betas, self.steps + 1
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
    def parameters(self) -> list[Tensor]: return self.weights + self.biases

MODES, SIGMA = np.array([(np.cos(i * np.pi / 4), np.sin(i * np.pi / 4)) for i in range(8)]), 0.05

def train(steps: int = 1000, seed: int = 0) -> Array:
    """A GAN learns a ring of 8 Gaussians. Returns 2,000 points from its generator."""
    rng, n = np.random.default_rng(seed), 256
    G, D = MLP(rng, 2, 32, 32, 2), MLP(rng, 2, 32, 32, 1)
    g_optimizer, d_optimizer = (Adam(net.parameters(), 3e-3, (0.5, 0.9)) for net in (G, D))
    for step in range(1, steps + 1):
        real = Tensor(MODES[rng.integers(8, size=n)] + SIGMA * rng.standard_normal((n, 2)), requires_grad=True)
        fake = G(Tensor(rng.standard_normal((n, 2))))

        logits = D(real)
        d_loss = softplus(-logits).mean() + softplus(D(fake.detach())).mean()  # - log D(real) - log(1 - D(fake))
        (slopes,) = grad(logits.sum(), [real], create_graph=True)
        penalty = (slopes * slopes).sum(axis=1).mean()  # a gradient becomes part of a loss: D must be flat at real points
        d_optimizer.step(grad(d_loss + 0.05 * penalty, D.parameters()))

        g_loss = softplus(-D(fake)).mean()  # - log D(fake)
        g_optimizer.step(grad(g_loss, G.parameters()))  # through D, but only to G's weights

        if step % 100 == 0:
            near = np.linalg.norm(fake.data[:, None] - MODES, axis=2) < 3 * SIGMA
            print(f"step {step:4}   losses {d_loss.data:.2f}, {g_loss.data:.2f}   modes hit {near.any(axis=0).sum()} of 8")
    return G(Tensor(rng.standard_normal((2000, 2)))).data

if __name__ == "__main__":
    x, y = train().T
    counts, _, _ = np.histogram2d(-y, x, bins=(19, 41), range=((-1.4, 1.4), (-1.4, 1.4)))
    print("\n".join("".join(" .:*#"[min(int(count / 2), 4)] for count in row) for row in counts))
