"""Neural-network layers: modules that own their parameters. Names, shapes and initial distributions are PyTorch's.

The names come from the `__all__` of each file, so a new layer is added there and nowhere else.
"""

from typing import NoReturn as _NoReturn

from minigrad import from_pytorch
from minigrad.nn import init
from minigrad.nn.activations import *
from minigrad.nn.conv import *
from minigrad.nn.dropout import *
from minigrad.nn.images import *
from minigrad.nn.layers import *
from minigrad.nn.module import *
from minigrad.nn.norm import *
from minigrad.nn.spectral_norm import *

__all__ = ["init", "spectral_norm"]  # noqa: F405
__all__ += [name for name in dir() if name[0].isupper()]


def __getattr__(name: str) -> _NoReturn:
    raise AttributeError(from_pytorch.missing("nn", name))
