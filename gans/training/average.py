"""An exponential moving average of a network's weights.

A generator's average makes better images than any single step's weights do, and a classifier's makes fewer errors.

Source: Yazici et al., "The unusual effectiveness of averaging in GAN training", ICLR 2019.
"""

from __future__ import annotations

from minigrad import nn


def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the average of a network's weights:  a = decay a + (1 - decay) p  for every parameter.

    Buffers are copied: the running statistics of batch normalisation are averages already.
    """
    for a, p in zip(average.parameters(), network.parameters(), strict=True):
        a.assign(a.data + (p.data - a.data) * a.dtype.type(1 - decay))
    for copied, buffer in zip(average.buffers(), network.buffers(), strict=True):
        copied.assign(buffer.data)
