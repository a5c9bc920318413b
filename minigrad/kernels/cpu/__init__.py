"""The kernels on the CPU, compiled by numba. README.md explains products, convolutions and threads.

`reference` has the same functions, written to be read. Elementwise loops run over flat memory,
whatever the order of the axes in it. Small work stays on one thread.
"""

from minigrad.arrays.hooks import from_host
from minigrad.kernels.cpu.cache import cached_by_version

with cached_by_version():
    from minigrad.kernels.cpu import parallel as parallel  # for captured steps
    from minigrad.kernels.cpu.conv import conv2d, conv2d_weight, conv_transpose2d
    from minigrad.kernels.cpu.elementwise import erf, leaky_relu, leaky_relu_backward, tanh_backward
    from minigrad.kernels.cpu.linear import linear, matmul
    from minigrad.kernels.cpu.norm import affine, normalize, normalize_backward, normalize_sums
    from minigrad.kernels.cpu.optimizer import adam, rmsprop, sgd
    from minigrad.kernels.cpu.pool import max_pool_pick, max_pool_place
    from minigrad.kernels.cpu.random import philox
    from minigrad.kernels.cpu.reduce import sum_axes

__all__ = [
    "adam", "affine", "conv2d", "conv2d_weight", "conv_transpose2d", "erf", "from_host", "leaky_relu", "leaky_relu_backward",
    "linear", "matmul", "max_pool_pick", "max_pool_place", "normalize", "normalize_backward", "normalize_sums", "philox",
    "rmsprop", "sgd", "sum_axes", "tanh_backward",
]  # fmt: skip
