"""Run every kernel under AddressSanitizer, at sizes around the ends of threads, blocks and chunks. See test_emulator.py."""

import functools

import cuda_emulator
import fake_cupy
import numpy as np

cuda_emulator.Module = functools.partial(cuda_emulator.Module, sanitize=True)  # type: ignore[assignment,misc]

with fake_cupy.installed() as cupy:
    from minigrad.kernels import gpu

    for size in (1, 3, 255, 257, 4095, 4097):
        gpu.philox(1, 2, size)
        for dtype in (np.float32, np.float64):
            x = [cupy.ones(size, dtype) for _ in range(4)]
            gpu.leaky_relu(x[0], 0.2)
            gpu.leaky_relu_backward(x[0], x[1], 0.2)
            gpu.tanh_backward(x[0], x[1])
            gpu.sgd(x[:1], x[1:2], x[2:3], 0.1, 0.9)
            gpu.adam(x[:1], x[1:2], x[2:3], x[3:], 0.1, 0.5, 0.9, 1e-8, 1)
            gpu.rmsprop(x[:1], x[1:2], x[2:3], 0.1, 0.9, 1e-8)
print("all kernels ran")
