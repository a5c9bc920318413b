"""Exchange between ranks (see `minigrad.parallel`): the backward of each of these ops is one of them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.arrays.backend import zeros
from minigrad.arrays.layout import by_pixel
from minigrad.engine import Op
from minigrad.modes import is_grad_enabled
from minigrad.parallel import Ranks, Share, alone
from minigrad.tensor import Array, Tensor

__all__: list[str] = []


class OwnRows(Op):
    """This rank's rows of x.    The cotangent of x has the rows of all ranks, or with `of_all_rows` zeros in their place."""

    is_view = True

    def __init__(self, ranks: Ranks, share: Share, of_all_rows: bool = False) -> None:
        self.ranks, self.share, self.of_all_rows = ranks, share, of_all_rows

    def forward(self, x: Array) -> Array:
        return x[self.share.start : self.share.stop]

    def backward_x(self, g: Tensor) -> Tensor:
        return PadWithZeros(self.ranks, self.share)(g) if self.of_all_rows else AllGather(self.ranks, self.share)(g)


class PadWithZeros(Op):
    """A batch with this rank's rows x, and zeros for the other ranks' rows."""

    def __init__(self, ranks: Ranks, share: Share) -> None:
        self.ranks, self.share = ranks, share

    def forward(self, x: Array) -> Array:
        own = by_pixel(x) if x.ndim == 4 else x  # images stay channels-last
        whole = zeros((self.share.whole, *own.shape[1:]), like=own)
        whole[self.share.start : self.share.stop] = own
        return whole.transpose(0, 3, 1, 2) if x.ndim == 4 else whole

    def backward_x(self, g: Tensor) -> Tensor:
        return OwnRows(self.ranks, self.share)(g)


class AllGather(PadWithZeros):
    """The rows of all ranks, from each rank's own rows x.

    A rank's cotangent is its rows of the whole. The others' rows are not read, so the next network need not send them:
    its `OwnRows` puts zeros there. They are exchanged only if a gradient with respect to this output is asked for.
    """

    def forward(self, x: Array) -> Array:
        whole = super().forward(x)
        self.ranks.sum_in_place(by_pixel(whole) if x.ndim == 4 else whole)
        return whole

    def gradient(self, g: Tensor) -> Tensor:
        return AllGather(self.ranks, self.share)(OwnRows(self.ranks, self.share)(g))


class Scaled(Op):
    """x times `factor`, and the cotangent times `back`. For networks that each rank computes whole: see `whole_on_each`."""

    is_view = True

    def __init__(self, factor: float, back: float) -> None:
        self.factor, self.back = factor, back

    def forward(self, x: Array) -> Array:
        return x if self.factor == 1 else x * x.dtype.type(self.factor)

    def backward_x(self, g: Tensor) -> Tensor:
        return Scaled(self.back, self.factor)(g)


class AllReduce(Op):
    """The sum of x over the ranks, on each of them.    dx = the sum of g over the ranks, because all of them use it."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def forward(self, x: Array) -> Array:
        total = x.copy()
        self.ranks.sum_in_place(total)
        return total

    def backward_x(self, g: Tensor) -> Tensor:
        return AllReduce(self.ranks)(g)


def shared(ranks: Ranks, network: Callable[..., Tensor], inputs: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
    """network(*inputs, **options), with the rows of all tensors among the inputs shared among the ranks."""
    rows = {len(x) for x in inputs if isinstance(x, Tensor)}
    if len(rows) != 1:
        raise ValueError(f"ranks share the rows of a network's inputs; these have {sorted(rows) or 'no'} rows")
    with ranks.sharing(rows.pop()) as share:
        y = network(*(_own(ranks, share, x) if isinstance(x, Tensor) else x for x in inputs), **options)
    if not isinstance(y, Tensor) or len(y) != share.stop - share.start:
        raise ValueError("ranks share the rows of a network's output: it must be one tensor with a row for each of the input")
    return AllGather(ranks, share)(y)


def _own(ranks: Ranks, share: Share, x: Tensor) -> Tensor:
    """This rank's rows of x."""
    return OwnRows(ranks, share, isinstance(x.op, AllGather) and x.op.share == share)(x)


def whole_on_each(ranks: Ranks, network: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """network(*inputs, **options), with all rows on each rank and no exchange: evaluation.

    An optimizer sums the gradients of weights over the ranks, and each has the whole gradient. So cotangents are divided by
    the number of ranks where they enter the network, and multiplied where they leave it.
    """
    count = ranks.size
    with alone():
        y = network(*(Scaled(1, count)(x) if isinstance(x, Tensor) and x.requires_grad else x for x in inputs), **options)
    if isinstance(y, Tensor):
        return Scaled(1, 1 / count)(y) if y.requires_grad else y
    if is_grad_enabled():
        raise ValueError("among ranks a network returns one tensor; in evaluation under mg.no_grad() it may return others")
    return y
