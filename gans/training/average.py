"""The running average of a generator's weights: it makes smoother pictures than the weights of any one step.

Source: Yazici et al., "The unusual effectiveness of averaging in GAN training", ICLR 2019.
"""

from __future__ import annotations

from minigrad import nn


def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average one step towards the network it is a copy of:  a = decay a + (1 - decay) p for every parameter.

    Buffers, such as the running statistics of batch normalisation, are copied: they are averages already.
    """
    for a, p in zip(average.parameters(), network.parameters(), strict=True):
        a.assign(a.data + (p.data - a.data) * a.dtype.type(1 - decay))
    for copied, buffer in zip(average.buffers(), network.buffers(), strict=True):
        copied.assign(buffer.data)
