"""The kernels as plain loops and NumPy expressions: slow, obvious, and the oracle for the fast ones.

Read these first. The packages `cpu` (numba) and `gpu` (CUDA) have the same functions with the same
signatures; `kernels/interface.py` lists them.
"""

from minigrad.kernels.reference.conv import conv2d, conv2d_weight, conv_transpose2d
from minigrad.kernels.reference.elementwise import erf, leaky_relu, leaky_relu_backward, tanh_backward
from minigrad.kernels.reference.host import from_host
from minigrad.kernels.reference.linear import linear, matmul
from minigrad.kernels.reference.norm import affine, normalize, normalize_backward, normalize_sums
from minigrad.kernels.reference.optimizer import adam, rmsprop, sgd
from minigrad.kernels.reference.pool import max_pool_pick, max_pool_place
from minigrad.kernels.reference.random import philox
from minigrad.kernels.reference.reduce import sum_axes

__all__ = [
    "adam", "affine", "conv2d", "conv2d_weight", "conv_transpose2d", "erf", "from_host", "leaky_relu", "leaky_relu_backward",
    "linear", "matmul", "max_pool_pick", "max_pool_place", "normalize", "normalize_backward", "normalize_sums", "philox",
    "rmsprop", "sgd", "sum_axes", "tanh_backward",
]  # fmt: skip
