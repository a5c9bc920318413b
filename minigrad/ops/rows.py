"""Exchange between ranks (see `minigrad.parallel`): the backward of each of these ops is one of them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.arrays.backend import zeros
from minigrad.arrays.layout import by_pixel
from minigrad.engine import Op
from minigrad.parallel import Ranks, Share
from minigrad.tensor import Array, Tensor

__all__: list[str] = []


class OwnRows(Op):
    """This rank's rows of x.    The cotangent of x has the rows of all ranks."""

    is_view = True

    def __init__(self, ranks: Ranks, share: Share) -> None:
        self.ranks, self.share = ranks, share

    def forward(self, x: Array) -> Array:
        return x[self.share.start : self.share.stop]

    def backward_x(self, g: Tensor) -> Tensor:
        return AllRows(self.ranks, self.share)(g)


class AllRows(Op):
    """The rows of all ranks, from each rank's own rows x.    A rank's cotangent is its rows of the whole."""

    own: Tensor | None = None  # x, for the next network

    def __init__(self, ranks: Ranks, share: Share) -> None:
        self.ranks, self.share = ranks, share

    def forward(self, x: Array) -> Array:
        own = by_pixel(x) if x.ndim == 4 else x  # images stay channels-last
        whole = zeros((self.share.whole, *own.shape[1:]), like=own)
        whole[self.share.start : self.share.stop] = own
        self.ranks.sum_in_place(whole)
        return whole.transpose(0, 3, 1, 2) if x.ndim == 4 else whole

    def backward_x(self, g: Tensor) -> Tensor:
        return OwnRows(self.ranks, self.share)(g)


class AllSum(Op):
    """The sum of x over the ranks, on each of them.    dx = the sum of g over the ranks, because all of them use it."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def forward(self, x: Array) -> Array:
        total = x.copy()
        self.ranks.sum_in_place(total)
        return total

    def backward_x(self, g: Tensor) -> Tensor:
        return AllSum(self.ranks)(g)


def shared(ranks: Ranks, network: Callable[..., Tensor], inputs: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
    """network(*inputs, **options), with the rows of all tensors among the inputs shared among the ranks."""
    rows = {len(x) for x in inputs if isinstance(x, Tensor)}
    if len(rows) != 1:
        raise ValueError(f"ranks share the rows of a network's inputs; these have {sorted(rows) or 'no'} rows")
    with ranks.sharing(rows.pop()) as share:
        y = network(*(_own(ranks, share, x) if isinstance(x, Tensor) else x for x in inputs), **options)
    if not isinstance(y, Tensor) or len(y) != share.stop - share.start:
        raise ValueError("ranks share the rows of a network's output: it must be one tensor with a row for each of the input")
    whole = AllRows(ranks, share)(y)
    if isinstance(whole.op, AllRows):
        whole.op.own = y
    return whole


def _own(ranks: Ranks, share: Share, x: Tensor) -> Tensor:
    """This rank's rows of x. If x is another network's output, they are here already, and so is the way of the cotangent."""
    made_by = x.op
    if isinstance(made_by, AllRows) and made_by.own is not None and made_by.share == share and not x.changes[0]:
        return made_by.own
    return OwnRows(ranks, share)(x)
