"""minigrad: reverse-mode automatic differentiation on NumPy and CuPy, with gradients of gradients.

Importing it sets an environment variable for the threads of NumPy's BLAS and, on Linux, how the C library's malloc
reuses memory, for the whole process: see `minigrad.tuning`. Set MINIGRAD_TUNING=0 to leave the process
alone.

>>> import minigrad as mg
>>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
>>> (gx,) = mg.grad((x * x).sum(), [x])
>>> gx.numpy()
array([2., 4.], dtype=float32)
"""

import sys

from minigrad import tuning  # isort: skip  (first: it must run before NumPy loads)
from minigrad.tensor import Tensor  # isort: skip  (before the ops, which are made of tensors)
from typing import TYPE_CHECKING, Any

from minigrad import from_pytorch, functional, nn, optim
from minigrad.arrays.gpu import BackendError
from minigrad.drawing import draw
from minigrad.engine import Op, grad
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.io.files import FileError
from minigrad.io.safetensors import load, save
from minigrad.modes import detect_anomaly, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.random import Generator, manual_seed, rand, randn

if TYPE_CHECKING:
    from minigrad.capture import Captured as Captured

__version__ = "0.1.0"

__all__ = [
    "BackendError", "FileError", "Generator", "Op", "Tensor", "detect_anomaly", "draw", "functional", "grad", "gradcheck",
    "gradgradcheck", "is_grad_enabled", "load", "manual_seed", "nn", "no_grad", "optim", "rand", "randn", "save",
    "set_grad_enabled", "tuning",
]  # fmt: skip

# PyTorch's `tensor` is a function; here the name would be the module, which stays importable without it.
del tensor  # type: ignore[name-defined]  # noqa: F821


def __getattr__(name: str) -> Any:
    """`mg.Captured`, imported on first use: nothing else in the package needs `minigrad.capture`. Other names are explained."""
    if name == "Captured":
        from minigrad.capture import Captured as Captured

        return Captured
    if name in functional.__all__:
        raise AttributeError(f"minigrad has no `{name}`: write `F.{name}`, after `import minigrad.functional as F`")
    raise AttributeError(from_pytorch.missing("minigrad", name))


_classes = [value for module in (nn, optim) for value in vars(module).values() if isinstance(value, type)]
_classes += [base for cls in _classes for base in cls.__bases__ if base.__name__.startswith("_")]  # such as nn's _BatchNorm
from_pytorch.explain_arguments(sys.modules[__name__], functional, nn, optim, Tensor, Generator, *dict.fromkeys(_classes))
