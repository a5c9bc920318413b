"""Random bits from a counter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any


def philox(read: Callable[[], tuple[int, int]], count: int) -> Array:
    """`count` random uint32 in blocks of four, where read() returns (seed, counter of the first block).

    Block number b has the counter words (counter + b, 0) and the key `seed`.

    Philox-4x32-10: each of ten rounds multiplies two of the four words by constants, crosses the halves over and adds the
    round's key, which advances by the golden ratio and sqrt(3) - 1.
    """
    seed, counter = read()
    out = []
    mask = 2**32 - 1
    for block in range(counter, counter + -(-count // 4)):
        words = [block & mask, (block >> 32) & mask, 0, 0]
        key = [seed & mask, seed >> 32]
        for _ in range(10):
            low, high = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57
            words = [(high >> 32) ^ words[1] ^ key[0], high & mask, (low >> 32) ^ words[3] ^ key[1], low & mask]
            key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
        out += words
    return np.array(out[:count], np.uint32)
