"""Matrix products: `matmul`, `linear` (the fully connected layer), and `embedding`, a product with one-hot rows.

For Y = A B, the differential is dY = dA B + A dB, so <G, dY> = <G B^T, dA> + <A^T G, dB>. The three ops
below are the three products of two matrices with none, the second or the first of them transposed. The
gradients of each are the other two, so no transposed copy is ever made.

    MatMul          y = a b            da = Linear(g, b)      db = LinearWeight(a, g)
    Linear          y = x w^T          dx = MatMul(g, w)      dw = LinearWeight(g, x)
    LinearWeight    w = g^T x          dg = Linear(x, h)      dx = MatMul(g, h)           for w's cotangent h
"""

from __future__ import annotations

import math

from minigrad.arrays.backend import kernels
from minigrad.engine import Op
from minigrad.ops.movement import pick, reshape, transpose
from minigrad.ops.reduce import reduce_sum, sum_to
from minigrad.tensor import Array, Tensor, raw

__all__ = ["embedding", "linear", "matmul"]


class MatMul(Op):
    """a @ b for stacks of matrices (..., n, k) and (..., k, m), the stacks broadcast.    da = g b^T, db = a^T g"""

    def forward(self, a: Array, b: Array) -> Array:
        if a.shape[-1] != b.shape[-2]:
            raise ValueError(f"the last axis of a ({a.shape[-1]}) must be as long as the last but one of b ({b.shape[-2]})")
        return kernels(a).matmul(a, b)

    def backward_a(self, g: Tensor, b: Tensor) -> Tensor:
        if g.ndim == 2:
            return Linear()(g, b, None)
        return sum_to(matmul(g, _swap(b)), self.input_shapes[0])

    def backward_b(self, g: Tensor, a: Tensor) -> Tensor:
        if g.ndim == 2:
            return LinearWeight()(a, g)
        return sum_to(matmul(_swap(a), g), self.input_shapes[1])


class Linear(Op):
    """x W^T + b for rows x (n, in), weights (out, in) and bias (out,) or None.    dx = g W, dW = g^T x, db = sum of rows g"""

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        if weight.ndim != 2 or x.shape[1] != weight.shape[1]:
            raise ValueError(f"x has {x.shape[1]} features, the weight must be (out, {x.shape[1]}) and is {weight.shape}")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(f"the bias is {bias.shape} and should be {weight.shape[:1]}")
        return kernels(x).linear(x, weight, bias)

    def backward_x(self, g: Tensor, weight: Tensor) -> Tensor:
        return matmul(g, weight)

    def backward_weight(self, g: Tensor, x: Tensor) -> Tensor:
        return LinearWeight()(g, x)

    def backward_bias(self, g: Tensor) -> Tensor:
        return reduce_sum(g, axis=0)


class LinearWeight(Op):
    """g^T x, the gradient of a fully connected layer's weight (out, in), for rows g (n, out) and x (n, in)"""

    def forward(self, g: Array, x: Array) -> Array:
        return kernels(x).matmul(g.T, x)

    def backward_g(self, h: Tensor, x: Tensor) -> Tensor:
        return Linear()(x, h, None)

    def backward_x(self, h: Tensor, g: Tensor) -> Tensor:
        return matmul(g, h)


def _swap(x: Tensor) -> Tensor:
    """x with its last two axes exchanged."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product a @ b by NumPy's rules: stacks broadcast; a vector is a row on the left, a column on the right."""
    if a.ndim == b.ndim == 2:
        return MatMul()(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: a {a.shape} and b {b.shape} must have at least one axis; use * for numbers")
    rows = a if a.ndim > 1 else reshape(a, (1, -1))
    columns = b if b.ndim > 1 else reshape(b, (-1, 1))
    product = MatMul()(rows, columns)
    shape = product.shape
    if a.ndim == 1:
        shape = (*shape[:-2], shape[-1])
    if b.ndim == 1:
        shape = shape[:-1]
    return reshape(product, shape)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: x (..., in), weight (out, in), bias (out,), result (..., out)."""
    if x.ndim == 2:
        return Linear()(x, weight, bias)
    if not x.ndim:
        raise ValueError(f"linear: x is a single number; it must have {weight.shape[-1]} features on its last axis")
    rows = reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    return reshape(Linear()(rows, weight, bias), (*x.shape[:-1], weight.shape[0]))


def embedding(indices: Tensor | Array, weight: Tensor) -> Tensor:
    """Rows of weight (count, features), one for each of `indices` (integers, any shape): (*indices.shape, features).

    An index not in 0 .. count - 1 is an IndexError on the CPU and gives NaN on a GPU, where it cannot be seen without waiting.
    """
    if indices.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices must be integers, not {indices.dtype}")
    return pick("embedding", weight, raw(indices), weight.shape[0])
