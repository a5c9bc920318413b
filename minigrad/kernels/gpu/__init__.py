"""The kernels on the GPU: CUDA C++ (the .cu files here) and cuBLAS.

`reference` has the same functions, to be read.
"""

from minigrad.kernels.gpu.conv import conv2d, conv2d_weight, conv_transpose2d
from minigrad.kernels.gpu.elementwise import erf, leaky_relu, leaky_relu_backward, tanh_backward
from minigrad.kernels.gpu.linear import linear, matmul
from minigrad.kernels.gpu.norm import affine, normalize, normalize_backward, normalize_sums
from minigrad.kernels.gpu.numbers import from_host
from minigrad.kernels.gpu.optimizer import adam, rmsprop, sgd
from minigrad.kernels.gpu.pool import max_pool_pick, max_pool_place
from minigrad.kernels.gpu.random import philox
from minigrad.kernels.gpu.reduce import sum_axes

__all__ = [
    "adam", "affine", "conv2d", "conv2d_weight", "conv_transpose2d", "erf", "from_host", "leaky_relu", "leaky_relu_backward",
    "linear", "matmul", "max_pool_pick", "max_pool_place", "normalize", "normalize_backward", "normalize_sums", "philox",
    "rmsprop", "sgd", "sum_axes", "tanh_backward",
]  # fmt: skip
