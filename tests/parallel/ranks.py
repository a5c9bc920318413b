"""What the tests of training in parallel look at, made by four ranks in one go:

    mpiexec -n 4 python tests/parallel/ranks.py FOLDER DIGITS

The steps of every trainer by all four and by two, and whole runs. Rank r of a run saves its part in NAME.r.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cuda_emulator
import fake_cupy
import numpy as np

import minigrad as mg
from gans.data.batches import Batches
from gans.mnist_gan import MnistGAN
from gans.training.cli import main
from gans.training.evaluations import Evaluator
from gans.training.loop import Loop
from gans.training.run_folder import RunFolder
from minigrad import nn, optim, parallel
from minigrad.arrays import backend
from tests.capture.tiny_trainers import MAKERS, batches, make

BATCH = 5  # images, which neither 2 nor 4 ranks can share equally


def trained(which: str, name: str = "numpy", dtype: Any = np.float64) -> dict[str, Any]:
    """A trainer's state and metrics after four steps, of which the last two are captured, and whether they are."""
    trainer = make(which, name, dtype, batch_size=BATCH)
    step = mg.Captured(trainer.step)
    with np.errstate(all="ignore"):
        metrics = [value.item() for batch in batches(trainer, 4) for value in step(*batch).values()]
    state = {key: backend.to_numpy(a) for key, a in trainer.state_dict().items()}
    return {**state, "metrics": np.array(metrics), "captured": np.array(step.program is not None)}


def normalised() -> dict[str, Any]:
    """The output of batch normalisation, and its weight after a step with a clipped gradient."""
    x, norm = mg.Tensor(np.random.default_rng(0).normal(size=(BATCH, 3))), nn.BatchNorm1d(3).to("numpy", np.float64)
    y = norm(x)
    optim.SGD([norm.weight], lr=1.0).step(optim.clip_grad_norm(mg.grad((y**3).sum(), [norm.weight]), 1.0))
    return {"y": y.numpy(), "weight": norm.weight.numpy()}


def run(name: str, *flags: object, patch: contextlib.AbstractContextManager[Any] | None = None) -> None:
    """`python -m gans.mnist_gan --parallel ...`, with its exit code, output and number of steps in a file for each rank."""
    out, err, code, steps = io.StringIO(), io.StringIO(), 0, []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patch or contextlib.nullcontext():
        plain = Loop.guarded_step
        counted = mock.patch.object(Loop, "guarded_step", lambda loop: steps.append(loop.step) or plain(loop))
        try:
            with counted:
                main(MnistGAN, ["--parallel", *map(str, flags)])
        except SystemExit as end:
            code = int(end.code or 0)
    ranks = parallel.current()
    assert ranks
    saved = {"code": code, "out": out.getvalue(), "err": err.getvalue(), "steps": len(steps)}
    (FOLDER / f"{name}.{ranks.rank}.json").write_text(json.dumps(saved))


def interrupted_in_step(number: int) -> Callable[..., Any]:
    """A replacement for the loop's step, in one of which a signal comes."""
    plain = Loop.guarded_step

    def step(loop: Loop) -> Any:
        if loop.step == number:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(loop)

    return step


def nan_in_step(step: int) -> Callable[..., Any]:
    """A replacement for the batches' indexing, with NaN instead of the images of one step."""
    plain = Batches.__getitem__
    return lambda self, i: tuple(x * np.nan if i == step else x for x in plain(self, i))


def worse_each_time(trainer: MnistGAN, batches: Batches) -> Evaluator:
    """Measures that never improve. Each makes a network compute as in training, which the classifier's training does."""
    values = iter(range(100))

    def measure() -> dict[str, float]:
        nn.Linear(2, 2)(mg.rand((3, 2)))
        return {"distance": float(next(values))}

    return Evaluator({"distance": "larger each time"}, measure)


def of_all_ranks(ranks: parallel.Ranks) -> None:
    for which in MAKERS:
        save(f"4.{which}", trained(which))
    second = ranks.rank == 1
    new = ("--data", DIGITS, "--batch-size", BATCH, "--watch-gradients", "--steps")
    run("too-small-batch", *new, 4, "--batch-size", 3, "--out", FOLDER / "a")
    run("too-few-images", *new, 4, "--batch-size", 100, "--out", FOLDER / "a")
    run("first-half", *new, 4, "--out", FOLDER / "continued-by-one")
    signalled = mock.patch.object(Loop, "guarded_step", interrupted_in_step(2)) if second else None
    run("interrupted", *new, 8, "--out", FOLDER / "interrupted", patch=signalled)
    poisoned = mock.patch.object(Batches, "__getitem__", nan_in_step(6)) if second else None
    run("nan", *new, 8, "--save-every", "4steps", "--out", FOLDER / "nan", patch=poisoned)

    with mock.patch.object(MnistGAN, "evaluator", worse_each_time):
        run("plateau", *new, 8, "--evaluate-every", "2steps", "--stop-when", 1, "--out", FOLDER / "plateau")
        run("finished", "--resume", "--out", FOLDER / "plateau")


def of_two_ranks(pair: int) -> None:
    for which in list(MAKERS)[pair::2]:
        save(f"2.{which}", trained(which))
    if pair:
        return
    save("synchronised", normalised())
    if not cuda_emulator.why_not():
        with fake_cupy.installed():
            save("emulated", trained("dcgan", "cupy", np.float32))
    run("second-half", "--resume", "--steps", 8, "--out", FOLDER / "begun-by-one")


def save(name: str, arrays: dict[str, Any]) -> None:
    ranks = parallel.current()
    if ranks and ranks.rank == 0:
        np.savez(FOLDER / name, **arrays)


if __name__ == "__main__":
    FOLDER, DIGITS = map(Path, sys.argv[1:])
    everyone = parallel.start()
    assert everyone
    with mock.patch.object(RunFolder, "save_overview"):
        of_all_ranks(everyone)
        pair = everyone.comm.Split(everyone.rank // 2)
        with parallel.using(parallel.Ranks(pair)):
            of_two_ranks(everyone.rank // 2)
        with parallel.using(parallel.Ranks(pair, local_statistics=True)):
            save("local", normalised())
