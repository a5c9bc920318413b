"""One side of a comparison, in a process of its own: reads commands from standard input, answers on standard output.

Two libraries in one process would share thread pools and memory settings, and each would pay for the other's. So each has
its own process, both are ready and warm, and the parent lets them work in turn while the other one waits.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import CASES


class Side:
    """What both sides can do: make a step on batch i, and make the first steps from noise that both know."""

    about: str  # versions and settings
    real: list[Any]  # batches
    trainer: Any  # has `step`, and draws its latent vectors with `noise`
    tensor: Callable[[np.ndarray], Any]

    def step(self, i: int) -> list[float]:
        raise NotImplementedError

    def replay(self) -> list[list[float]]:
        """One step on each batch with noise from NumPy's generator; the losses of each."""
        rng = np.random.default_rng(0)
        size = self.trainer.latent_size
        own = self.trainer.noise, self.trainer.uniform
        self.trainer.noise = lambda count: self.tensor(rng.standard_normal((count, size)).astype(np.float32))
        self.trainer.uniform = lambda shape: self.tensor(np.asarray(rng.random(shape, np.float32)))
        losses = [self.step(i) for i in range(len(self.real))]
        self.trainer.noise, self.trainer.uniform = own
        return losses


class Ours(Side):
    """This project's trainer."""

    def __init__(self, case: str, setup: str, variant: str, threads: int) -> None:
        import minigrad as mg
        from minigrad.layout import channels_last

        self.tensor = mg.Tensor
        self.trainer = CASES[case].trainer()
        self.real = [mg.Tensor(channels_last(x)) for x in mg.load(setup)["real"]]  # as gans.data.batches gives them
        self.about = f"minigrad {mg.__version__}, NumPy {np.__version__}, {threads} threads"

    def step(self, i: int) -> list[float]:
        return [value.item() for value in self.trainer.step(self.real[i % len(self.real)]).values()]


class PyTorch(Side):
    """The twin."""

    def __init__(self, case: str, setup: str, variant: str, threads: int) -> None:
        import torch
        from safetensors.numpy import load_file

        torch.set_num_threads(threads)
        self.tensor = torch.from_numpy
        arrays = load_file(setup)
        self.trainer = CASES[case].twin(arrays, float(arrays["lr"]), variant)
        self.real = [self.trainer.images(x) for x in arrays["real"]]
        self.about = f"PyTorch {torch.__version__}, {variant}, {torch.get_num_threads()} threads"

    def step(self, i: int) -> list[float]:
        return self.trainer.step(self.real[i % len(self.real)])


def peak_memory() -> float:
    """The most memory this process has had, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def seconds(step: Callable[[int], Any], count: int) -> float:
    """Seconds a step, over `count` steps."""
    start = time.perf_counter()
    for i in range(count):
        step(i)
    return (time.perf_counter() - start) / count


def main() -> None:
    name, case, setup, variant, threads = sys.argv[1:]
    side = {"ours": Ours, "pytorch": PyTorch}[name](case, setup, variant, int(threads))
    print(json.dumps({"about": side.about}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if command["do"] == "replay":
            answer = {"losses": side.replay()}
        elif command["do"] == "time":
            answer = {"seconds": seconds(side.step, command["steps"])}
        elif command["do"] == "memory":
            answer = {"mib": peak_memory()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
