"""The kernel contract: the functions that `reference`, `cpu` and `gpu` all have, with their types.

mypy checks each of the three packages against `Kernels` (see `kernels/__init__.py`), and a test
compares the parameters' names. The reference's function of the same name shows what each one
computes. Images are (n, channels, height, width), in memory channels-last. Results are new arrays
of the inputs' common dtype; only the optimizers work in place.

Numbers that may change from step to step come from a function `read`: a captured step calls it
again at each replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from minigrad.kernels.geometry import Geometry

Array = Any  # numpy.ndarray, or cupy.ndarray, which is not installed everywhere


class SGDNumbers(NamedTuple):
    lr: float
    momentum: float
    decay: float = 0.0  # times the parameter, added to its gradient (L2 regularisation)


class AdamNumbers(NamedTuple):
    lr: float
    beta1: float
    beta2: float
    eps: float
    step: int  # 1 in the first step
    decay: float = 0.0  # as in SGD
    keep: float = 1.0  # times the parameter before the update: 1 - lr weight_decay in AdamW

    def derived(self) -> tuple[float, ...]:
        """For the fused loops: lr / (1 - beta1^t), beta1, 1 - beta1, beta2, 1 - beta2, (1 - beta2^t)^-1/2, eps, decay, keep."""
        lr, beta1, beta2, eps, step, decay, keep = self
        return lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, (1 - beta2**step) ** -0.5, eps, decay, keep


class RMSpropNumbers(NamedTuple):
    lr: float
    alpha: float
    eps: float
    decay: float = 0.0  # as in SGD

    def derived(self) -> tuple[float, ...]:
        """For the fused loops: lr, alpha, 1 - alpha, eps, decay."""
        lr, alpha, eps, decay = self
        return lr, alpha, 1 - alpha, eps, decay


class Kernels(Protocol):
    """The heavy loops of one backend."""

    # Matrix products

    def matmul(self, a: Array, b: Array) -> Array: ...

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array: ...

    # Convolutions: the three partial derivatives of one trilinear form

    def conv2d(self, x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array: ...

    def conv_transpose2d(self, g: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array: ...

    def conv2d_weight(self, x: Array, g: Array, geometry: Geometry) -> Array: ...

    # Max-pooling: two linear functions, each the transpose of the other

    def max_pool_pick(self, h: Array, x: Array, geometry: Geometry) -> Array: ...

    def max_pool_place(self, g: Array, x: Array, geometry: Geometry) -> Array: ...

    # Normalisation of (groups, rows, channels) over the rows

    def normalize(self, x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]: ...

    def normalize_sums(self, g: Array, x: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]: ...

    def normalize_backward(
        self, g: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float, sum_g: Array, sum_g_xhat: Array
    ) -> Array: ...

    def affine(self, x: Array, scale: Array, shift: Array) -> Array: ...

    # Sums and activations

    def sum_axes(self, x: Array, axes: tuple[int, ...]) -> Array: ...

    def leaky_relu(self, x: Array, slope: float) -> Array: ...

    def leaky_relu_backward(self, g: Array, y: Array, slope: float) -> Array: ...

    def erf(self, x: Array) -> Array: ...

    def tanh_backward(self, g: Array, y: Array) -> Array: ...

    # Optimizers: they update params and state in place. An element with a NaN or infinite gradient
    # is skipped, and counted in bad[k], for parameter k.

    def sgd(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        velocity: Sequence[Array],
        read: Callable[[], SGDNumbers],
        bad: Array,
    ) -> None: ...

    def adam(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        first: Sequence[Array],
        second: Sequence[Array],
        read: Callable[[], AdamNumbers],
        bad: Array,
    ) -> None: ...

    def rmsprop(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        square: Sequence[Array],
        read: Callable[[], RMSpropNumbers],
        bad: Array,
    ) -> None: ...

    # Numbers that the host chooses, as an array: in a captured step those of each replay

    def from_host(self, read: Callable[[], Sequence[float]], count: int, dtype: Any) -> Array: ...

    # Random bits, uint32; read() is the seed and the first counter

    def philox(self, read: Callable[[], tuple[int, int]], count: int) -> Array: ...
