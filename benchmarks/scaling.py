"""Training in parallel: the time of a step and what it exchanges, and a model of how far a network between machines carries.

    python -m benchmarks.scaling [NAME ...]                 # one process, and the model
    mpiexec -n 4 python -m benchmarks.scaling [NAME ...]    # four

The model is a ring: n ranks sum S bytes in 2 (n - 1) rounds, in each of which every rank sends S / n bytes. The ranks, one a
machine, share the arithmetic of a step equally, and no exchange overlaps with it. The training loop adds one exchange of a few
numbers to each step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from gans.command import running
from gans.trainers import TRAINERS
from gans.training.config import OneLineParser
from minigrad import BackendError, parallel

STEPS, WARM_UP, SECONDS = 100, 4, 4.0  # of a case: at most so many steps and seconds
AGREEMENTS = 1  # in each step of the training loop: whether all go on
SMALLEST_BATCH = 4  # so that four ranks can share it
NETWORKS = {"10 Gbit/s": (30e-6, 1.25e9), "100 Gbit/s": (3e-6, 12.5e9)}  # seconds for a message (TCP, RDMA); bytes a second


class Cost(NamedTuple):
    """What a step costs."""

    seconds: float
    exchanges: int
    bytes: int


class Counted(parallel.Ranks):
    """The first of two ranks, without the other: counts what it would exchange."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(rank=0, size=2, Dup=lambda: None))

    def sum_in_place(self, x: Any) -> None:
        self.exchanges += 1
        self.bytes += x.nbytes


def predicted(cost: Cost, ranks: int, latency: float, bandwidth: float) -> float:
    """Seconds of a step of several ranks."""
    rounds = 2 * (ranks - 1)
    return cost.seconds / ranks + rounds * ((cost.exchanges + AGREEMENTS) * latency + cost.bytes / ranks / bandwidth)


def limits(cost: Cost, most: int, latency: float, bandwidth: float) -> tuple[int, int]:
    """Of 1, 2, 4, ... ranks up to `most`, the largest number that still computes for half of the time, and the fastest."""
    times = {2**k: predicted(cost, 2**k, latency, bandwidth) for k in range(most.bit_length())}
    return max(n for n, seconds in times.items() if cost.seconds / n >= seconds / 2), min(times, key=times.__getitem__)


def step_of(name: str) -> tuple[Callable[[], object], int]:
    """A function that makes a training step of a case, captured after the first ones, and its batch size.

    The name may also be that of a trainer, which then has its own settings.
    """
    import numpy as np

    import minigrad as mg
    from benchmarks.cases import CASES, Case, random_batch
    from gans.trainers import trainer_named
    from minigrad.arrays.layout import channels_last
    from minigrad.capture import Captured

    case = CASES.get(name) or Case(name, trainer_named(name).config_class().batch_size)
    case = replace(case, batch_size=max(case.batch_size, SMALLEST_BATCH))
    trainer = case.trainer()
    step, arrays = Captured(trainer.step), random_batch(trainer, np.random.default_rng(0))
    batch = [mg.Tensor(channels_last(a) if a.ndim == 4 else a) for a in arrays]
    return lambda: [value.item() for value in step(*batch).values()], case.batch_size


def measured(step: Callable[[], object], ranks: parallel.Ranks | None) -> Cost:
    """The median time of a step, and what it exchanges. Without ranks, what it would exchange."""
    counted = ranks or Counted()
    before = counted.exchanges, counted.bytes
    with parallel.using(counted):
        step()
    exchanges, bytes_ = counted.exchanges - before[0], counted.bytes - before[1]
    times: list[float] = []
    while len(times) < STEPS + WARM_UP and parallel.from_first(lambda: sum(times) < SECONDS or len(times) < 2 * WARM_UP):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return Cost(statistics.median(times[WARM_UP:]), exchanges, bytes_)


@running("python -m benchmarks.scaling", (BackendError,))
def main(argv: Sequence[str] | None = None) -> None:
    from benchmarks.cases import CASES

    parser = OneLineParser("python -m benchmarks.scaling", description=(__doc__ or "").partition("\n\n")[0])
    help = f"cases of the benchmark, or trainers with their own settings (default: {' '.join(CASES)})"
    parser.add_argument("names", nargs="*", choices=list(dict.fromkeys([*CASES, *TRAINERS])), metavar="NAME", help=help)
    names = parser.parse_args(argv).names or CASES
    ranks = parallel.start()
    rows = []
    for name in names:
        step, batch_size = step_of(name)
        cost = measured(step, ranks)
        row = [name, str(batch_size), f"{1000 * cost.seconds:.1f}", str(cost.exchanges), f"{cost.bytes / 1e6:.2f}"]
        if ranks is None:
            row += [" / ".join(map(str, limits(cost, batch_size, *network))) for network in NETWORKS.values()]
        rows.append(row)
    if ranks is None or ranks.rank == 0:
        titles = ["case", "batch", "ms", "exchanges", "MB", *([] if ranks else NETWORKS)]
        for row in [titles, ["---"] * len(titles), *rows]:
            print("|", " | ".join(row), "|")


if __name__ == "__main__":
    main()
