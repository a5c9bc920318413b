"""One side of a comparison, in a process of its own: reads commands from standard input, answers on standard output.

Two libraries in one process would share thread pools and memory settings, and each would pay for the other's. So each has
its own process, both are ready and warm, and the parent lets them work in turn while the other one waits.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


class Side:
    """What both sides can do: make a step on batch i, and repeat recorded steps."""

    about: str  # versions and settings
    real: list[Any]  # batches
    noise: list[Any]  # one array of latent vectors for each batch
    trainer: Any  # has `step` and draws with `noise`

    def step(self, i: int) -> list[float]:
        raise NotImplementedError

    def replay(self) -> list[list[float]]:
        """One step on each batch with the recorded noise; the losses of each."""
        recorded = iter(self.noise)
        own, self.trainer.noise = self.trainer.noise, lambda count: next(recorded)
        losses = [self.step(i) for i in range(len(self.real))]
        self.trainer.noise = own
        return losses


class Ours(Side):
    """This project's trainer."""

    def __init__(self, case: str, setup: str, variant: str, threads: int) -> None:
        import minigrad as mg
        from gans.generate import TRAINERS

        arrays = mg.load(setup)
        trainer_class = getattr(importlib.import_module(f"gans.{case}"), TRAINERS[case])
        self.trainer = trainer_class(trainer_class.config_class(backend="numpy"))
        self.trainer.load_state_dict(states(arrays))
        self.real = [mg.Tensor(x) for x in arrays["real"]]
        self.noise = [mg.Tensor(z) for z in arrays["noise"]]
        self.about = f"minigrad {mg.__version__}, NumPy {np.__version__}, {threads} threads"

    def step(self, i: int) -> list[float]:
        return [value.item() for value in self.trainer.step(self.real[i % len(self.real)]).values()]


class PyTorch(Side):
    """The twin."""

    def __init__(self, case: str, setup: str, variant: str, threads: int) -> None:
        import torch
        from safetensors.numpy import load_file

        torch.set_num_threads(threads)
        arrays = load_file(setup)
        twin_class = importlib.import_module(f"benchmarks.twins.{case}").Twin
        self.trainer = twin_class(states(arrays), float(arrays["lr"]), variant)
        self.real = [torch.from_numpy(x) for x in arrays["real"]]
        self.noise = [torch.from_numpy(z) for z in arrays["noise"]]
        self.about = f"PyTorch {torch.__version__}, {variant}, {torch.get_num_threads()} threads"

    def step(self, i: int) -> list[float]:
        return self.trainer.step(self.real[i % len(self.real)])


def states(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The trainer's state among the arrays of a setup file."""
    return {name.removeprefix("state."): a for name, a in arrays.items() if name.startswith("state.")}


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
