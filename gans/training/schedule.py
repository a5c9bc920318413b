"""When samples and checkpoints are due: every so many epochs, steps or seconds."""

from __future__ import annotations

import re
import time

_PART = re.compile(r"([1-9]\d{0,11})(epochs?|steps?|s|min|)")


def intervals(text: str) -> list[tuple[int, str]]:
    """The intervals that a text lists: "2,500steps,5min" is [(2, "epoch"), (500, "step"), (300, "s")]. Or a ValueError."""
    found = []
    for part in text.split(","):
        if not (match := _PART.fullmatch(part.strip())):
            raise ValueError(f"{text[:99]!r} is neither a number of epochs (2) nor like 500steps, 30s, 5min or 1epoch,5min")
        number, unit = int(match[1]), match[2].removesuffix("s") or match[2] or "epoch"
        found.append((60 * number, "s") if unit == "min" else (number, unit))
    return found


class Schedule:
    """Something is due after each of the intervals in a text such as "1epoch,5min".

    With `doubling_from`, it is due at this step and its doubles too, until the first interval in epochs or steps ends.
    """

    def __init__(self, text: str, per_epoch: int, doubling_from: int = 0) -> None:
        self.steps = [number * (per_epoch if unit == "epoch" else 1) for number, unit in intervals(text) if unit != "s"]
        self.seconds = [number for number, unit in intervals(text) if unit == "s"]
        doubles = [doubling_from * 2**i for i in range(40)] if doubling_from else []
        self.early = {step for step in doubles if step < min(self.steps, default=0)}
        self.restart()

    def restart(self) -> None:
        """Start counting seconds again."""
        self.since = time.monotonic()

    def includes(self, step: int) -> bool:
        """Whether something is due after this step, whatever the time."""
        return step in self.early or any(step % n == 0 for n in self.steps)

    def due(self, step: int) -> bool:
        """Whether something is due now, after this step."""
        return self.includes(step) or any(time.monotonic() - self.since >= n for n in self.seconds)
