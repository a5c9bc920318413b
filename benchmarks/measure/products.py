"""The matrix products of training steps, on one thread and on all: this engine, NumPy's BLAS and PyTorch's.

The shapes are those of the dense layers that `watch` saw in the steps, and of the convolutions' im2col
products. Each is timed for every memory order of its operands that a dense layer's forward and
gradients need: on one thread in processor time, on several by the clock.

    python -m benchmarks mnist_gan --part products
    python -m benchmarks.measure.products 128x784x256 1024x1024x1024    only these: rows of a x columns of a x columns of b
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.measure.floor import libraries
from benchmarks.measure.process import PAUSE, Worker
from benchmarks.measure.steps import make_side, write_setup
from benchmarks.measure.watch import Call
from benchmarks.settings import OURS, Settings
from gans.training.arguments import integer_up_to

Shape = tuple[int, int, int]  # (m, k, n): the product of (m, k) and (k, n)

TURNS = 3  # of each side; the fastest one counts
ORDERS = ("rows x rows", "rows x columns", "columns x rows")  # gradient by the input, forward, gradient by the weight


def shape_of(call: Call) -> Shape | None:
    """The matrix product in a kernel's call, of a convolution that of its im2col matrix; None if there is none."""
    kernel, arguments = call["kernel"], call["arguments"]
    if kernel in ("conv2d", "conv_transpose2d", "conv2d_weight"):
        geometry, (first, second) = arguments[-1], [x["shape"] for x in arguments[:2]]
        rows, taps = first[0] * math.prod(geometry["positions"]), math.prod(geometry["kernel"])
        if kernel == "conv2d":
            return rows, second[1] * taps, second[0]
        if kernel == "conv_transpose2d":
            return rows, second[0], second[1] * taps
        return second[1], rows, first[1] * taps
    if kernel == "linear":
        *rows, k = arguments[0]["shape"]
        return math.prod(rows), k, arguments[1]["shape"][0]
    if kernel == "matmul" and len(arguments[0]["shape"]) == len(arguments[1]["shape"]) == 2:
        return *arguments[0]["shape"], arguments[1]["shape"][1]
    return None


def shapes_of(case: Case, settings: Settings) -> Counter[Shape]:
    """The products in a step of a case, and how many there are of each."""
    with tempfile.TemporaryDirectory() as folder:
        setup = Path(folder) / "setup.safetensors"
        write_setup(case, setup, batches=1)
        with make_side(OURS, replace(settings, compared=1), case=asdict(case), setup=str(setup)) as worker:
            calls = worker.ask("watched")["calls"]
    found: Counter[Shape] = Counter()
    for call, count in calls:
        if shape := shape_of(call):
            found[shape] += count
    return found


class ProductTimer:
    """All libraries, each with one thread and with all, and a row for each product and order timed so far."""

    def __init__(self, sides: Mapping[tuple[int, str], Worker]) -> None:
        self.sides = sides
        self.rows: dict[tuple[Shape, str], dict[str, Any]] = {}

    def add(self, case: str, shapes: Mapping[Shape, int]) -> list[dict[str, Any]]:
        """Time the products of a case that are new; all rows so far."""
        for shape, count in shapes.items():
            if (shape, ORDERS[0]) not in self.rows:
                self._time(shape)
            for order in ORDERS:
                self.rows[shape, order]["cases"][case] = count
        return list(self.rows.values())

    def _time(self, shape: Shape) -> None:
        """Seconds of each number of threads and library, in turn."""
        m, k, n = shape
        for order in ORDERS:
            times: dict[str, dict[str, float]] = {str(threads): {} for threads, _ in self.sides}
            self.rows[shape, order] = {"shape": [m, k, n], "order": order, "seconds": times, "cases": {}}
        for worker in self.sides.values():
            worker.ask("prepare", m=m, k=k, n=n)
        for order in ORDERS:
            times = self.rows[shape, order]["seconds"]
            for _ in range(TURNS):
                for (threads, library), worker in self.sides.items():
                    if threads > 1:
                        time.sleep(PAUSE / 2)  # the threads of OpenBLAS busy-wait for some 30 ms after a product
                    best = times[str(threads)]
                    best[library] = min(worker.ask("time", order=order), best.get(library, math.inf))


@contextmanager
def product_timer(settings: Settings) -> Iterator[ProductTimer]:
    """Context with the processes of all libraries."""
    with ExitStack() as stack:
        yield ProductTimer({
            (threads, library): stack.enter_context(Worker(side, replace(settings, threads=threads)))
            for threads in sorted({1, settings.threads})
            for library, side in libraries(settings.backend).items()
        })  # fmt: skip


def shape(text: str) -> tuple[int, int, int]:
    """The type of a shape argument."""
    numbers = text.split("x")
    if len(numbers) != 3 or not all(n.isdecimal() and 0 < int(n) <= 100_000 for n in numbers):
        raise argparse.ArgumentTypeError(f"{text[:99]!r} is not of the form MxKxN, such as 128x784x256")
    m, k, n = map(int, numbers)
    return m, k, n


def main(argv: Sequence[str] | None = None) -> None:
    from benchmarks.report import tables

    parser = argparse.ArgumentParser("python -m benchmarks.measure.products", description="Time products of these shapes.")
    parser.add_argument("shapes", nargs="+", type=shape, metavar="MxKxN", help="the product of (M, K) and (K, N)")
    parser.add_argument("--threads", type=integer_up_to(1024), default=Settings.threads, help=f"default: {Settings.threads}")
    arguments = parser.parse_args(argv)
    with product_timer(Settings(threads=arguments.threads)) as timer:
        for mkn in arguments.shapes:
            rows = timer.add("here", {mkn: 1})
    print(tables.products({"products": rows}))


if __name__ == "__main__":
    main()
