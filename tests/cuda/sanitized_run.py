"""Run every kernel under AddressSanitizer, at sizes around multiples of threads, blocks and chunks.

See test_emulator.py.
"""

import functools

import cuda_emulator
import fake_cupy
import numpy as np

cuda_emulator.Module = functools.partial(cuda_emulator.Module, sanitize=True)  # type: ignore[assignment,misc]

with fake_cupy.installed() as cupy:
    from minigrad.kernels import gpu
    from minigrad.kernels.geometry import Geometry, Size
    from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers

    for size in (1, 3, 255, 257, 4095, 4097):
        gpu.philox(lambda: (1, 2), size)
        for dtype in (np.float32, np.float64):
            x = [cupy.ones(size, dtype) for _ in range(4)]
            gpu.leaky_relu(x[0], 0.2)
            gpu.leaky_relu_backward(x[0], x[1], 0.2)
            gpu.tanh_backward(x[0], x[1])
            bad = cupy.zeros(1, np.int32)
            gpu.sgd(x[:1], x[1:2], x[2:3], lambda: SGDNumbers(0.1, 0.9), bad)
            gpu.adam(x[:1], x[1:2], x[2:3], x[3:], lambda: AdamNumbers(0.1, 0.5, 0.9, 1e-8, 1), bad)
            gpu.rmsprop(x[:1], x[1:2], x[2:3], lambda: RMSpropNumbers(0.1, 0.9, 1e-8), bad)
    for kernel, stride, padding in (((2, 2), (2, 2), (0, 0)), ((3, 4), (1, 2), (1, 2)), ((1, 2), (3, 3), (0, 1))):
        geometry = Geometry(Size(9, 7), kernel, stride, padding)
        for dtype in (np.float32, np.float64):
            image, g = cupy.ones((3, 5, *geometry.image), dtype), cupy.ones((3, 5, *geometry.positions), dtype)
            gpu.max_pool_pick(image, image, geometry)
            gpu.max_pool_place(g, image, geometry)
    for shape in ((1, 2, 1), (2, 65, 33), (3, 8, 64)):
        for dtype in (np.float32, np.float64):
            x, weight = cupy.ones(shape, dtype), cupy.ones(shape[2], dtype)
            _, mean, var = gpu.normalize(x, weight, weight, 1e-5)
            sums = gpu.normalize_sums(x, x, mean, var, 1e-5)
            gpu.normalize_backward(x, x, weight, mean, var, 1e-5, *sums)
            gpu.affine(x, weight, weight)
    for stride, padding, dilation in (((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 0), (1, 1)), ((3, 2), (2, 3), (1, 2))):
        geometry = Geometry(Size(9, 7), (3, 4), stride, padding, dilation)
        for dtype in (np.float32, np.float64):
            image, g = cupy.ones((3, 5, *geometry.image), dtype), cupy.ones((3, 2, *geometry.positions), dtype)
            weight = gpu.conv2d_weight(image, g, geometry)
            gpu.conv2d(image, weight, None, geometry)
            gpu.conv_transpose2d(g, weight, None, geometry)
print("all kernels ran")
