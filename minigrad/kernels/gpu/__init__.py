"""The kernels on the GPU: CUDA C++ from `cuda/*.cu` and cuBLAS. `reference` says what each one computes."""

from minigrad.kernels.gpu.elementwise import leaky_relu, leaky_relu_backward, tanh_backward
from minigrad.kernels.gpu.linear import linear, matmul
from minigrad.kernels.gpu.optimizer import adam, rmsprop, sgd
from minigrad.kernels.gpu.random import philox

__all__ = ["adam", "leaky_relu", "leaky_relu_backward", "linear", "matmul", "philox", "rmsprop", "sgd", "tanh_backward"]
