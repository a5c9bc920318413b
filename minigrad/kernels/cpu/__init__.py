"""The kernels on the CPU: numba. `reference` says what each one computes.

Loops over elements run on flat memory, in whatever order the arrays lie there. Matrix products are in `gemm`. All threads are
numba's, in one pool; what is too small for them stays on one.
"""

from minigrad.kernels.cpu.elementwise import leaky_relu, leaky_relu_backward, tanh_backward
from minigrad.kernels.cpu.linear import linear, matmul
from minigrad.kernels.cpu.optimizer import adam, rmsprop, sgd
from minigrad.kernels.cpu.random import philox

__all__ = ["adam", "leaky_relu", "leaky_relu_backward", "linear", "matmul", "philox", "rmsprop", "sgd", "tanh_backward"]
