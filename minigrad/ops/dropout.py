"""Dropout: elements set to zero at random while training."""

from __future__ import annotations

from minigrad import random
from minigrad.backend import name_of
from minigrad.tensor import Tensor


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element is 0 with probability p, else x / (1 - p), so that the expectation stays x.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014), in the "inverted" form that leaves evaluation alone.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}; it must be at least 0 and less than 1")
    if not training or p == 0:
        return x
    keep = random.rand(x.shape, name_of(x.data)).data >= p
    return x * Tensor(keep.astype(x.dtype) / float(1 - p))
