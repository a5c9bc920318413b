"""minigrad: reverse-mode automatic differentiation on NumPy and CuPy, with gradients of gradients.

>>> import minigrad as mg
>>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
>>> (gx,) = mg.grad((x * x).sum(), [x])
>>> gx.numpy()
array([2., 4.], dtype=float32)
"""

from minigrad import tuning  # isort: skip  (first: it must run before NumPy loads)
from minigrad import functional, gradcheck, nn, optim
from minigrad.backend import BackendError
from minigrad.capture import Captured
from minigrad.engine import Op, detect_anomaly, grad, no_grad
from minigrad.files import FileError
from minigrad.ops import operators
from minigrad.random import Generator, manual_seed, rand, randn
from minigrad.serialize import load, save
from minigrad.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "BackendError", "Captured", "FileError", "Generator", "Op", "Tensor", "detect_anomaly", "functional", "grad", "gradcheck",
    "load", "manual_seed", "nn", "no_grad", "operators", "optim", "rand", "randn", "save", "tuning",
]  # fmt: skip
