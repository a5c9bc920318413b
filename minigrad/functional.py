"""Every operation as a function: `import minigrad.functional as F`.

Names and arguments mean what they mean in `torch.nn.functional`; `axis` and `keepdims` mean what they mean
in NumPy. The names come from the `__all__` of each family in `minigrad.ops`, so a new operation is added
there and nowhere else.
"""

from typing import NoReturn as _NoReturn

from minigrad import from_pytorch as _from_pytorch
from minigrad.ops.activations import *
from minigrad.ops.conv import *
from minigrad.ops.dropout import *
from minigrad.ops.elementwise import *
from minigrad.ops.linear import *
from minigrad.ops.loss import *
from minigrad.ops.movement import *
from minigrad.ops.norm import *
from minigrad.ops.pad import *
from minigrad.ops.pool import *
from minigrad.ops.reduce import *
from minigrad.ops.resize import *
from minigrad.ops.softmax import *

# isort: split
# Inside their own files these would shadow Python's functions, so they have other names there.
from minigrad.ops.elementwise import absolute as abs
from minigrad.ops.elementwise import power as pow
from minigrad.ops.movement import concatenate as cat
from minigrad.ops.reduce import reduce_max as max
from minigrad.ops.reduce import reduce_min as min
from minigrad.ops.reduce import reduce_sum as sum

__all__ = [name for name in dir() if not name.startswith("_")]


def __getattr__(name: str) -> _NoReturn:
    raise AttributeError(_from_pytorch.missing("functional", name))
