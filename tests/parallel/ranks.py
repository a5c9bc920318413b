"""What the tests of training in parallel look at, made by four ranks in one go:

    mpiexec -n 4 python tests/parallel/ranks.py FOLDER DIGITS

The steps of every trainer by all four and by two, and whole runs. Rank r of a run saves its part in NAME.r.json.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cuda_emulator
import fake_cupy
import numpy as np

import minigrad as mg
from gans import command
from gans.data.batches import Batches
from gans.data.download import DownloadError
from gans.mnist_gan import MnistGAN
from gans.training.cli import main
from gans.training.evaluations import Evaluator
from gans.training.images import grid
from gans.training.loop import Loop
from gans.training.run_folder import RunFolder
from gans.training.trainer import as_pixels
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


class Noisy(nn.Module):
    """A user's network: noise for each row, one number for all rows, and a part that is in evaluation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        rng = np.random.default_rng(inputs)
        self.first, self.frozen, self.last = nn.Linear(inputs, 4), nn.Linear(4, 4), nn.Linear(4, outputs)
        for p in self.to(dtype=np.float64).parameters():
            p.assign(mg.Tensor(rng.normal(size=p.shape)))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        noise, factor = mg.randn((len(x), 4), dtype=np.float64), mg.rand((), dtype=np.float64)
        return self.last(self.frozen((self.first(x) + factor * noise).tanh()))


def of_networks(evaluated: bool) -> dict[str, Any]:
    """Gradients through two networks in a row, also with respect to what one gives to the other, and a gradient penalty.

    The second network is in training or in evaluation. An optimizer's step shows the gradients of the weights.
    """
    mg.manual_seed(1)
    G, D = Noisy(3, 2), Noisy(2, 1).train(not evaluated)
    D.frozen.train(evaluated)
    fake = G(mg.randn((BATCH, 3), dtype=np.float64))
    loss = (D(fake) ** 2).mean() + (fake**3).mean()
    [slope] = mg.grad(loss, [fake], create_graph=True)
    penalty = (slope**2).sum() + loss
    parameters = [*G.parameters(), *D.parameters()]
    for p, g in zip(parameters, mg.grad(penalty, parameters), strict=True):
        optim.SGD([p], lr=1.0).step([g])
    drawn = np.array(mg.random.get_rng_state()[1])
    return {"slope": slope.numpy(), "drawn": drawn, **{str(i): p.numpy() for i, p in enumerate(parameters)}}


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


def signalled_at_the_end() -> Callable[..., Any]:
    """A replacement for `Loop.ends`: a signal comes after all have agreed that the last step is done."""
    plain = Loop.ends

    def ends(loop: Loop, stop: Any) -> bool:
        if result := plain(loop, stop):
            os.kill(os.getpid(), signal.SIGINT)
        return result

    return ends


def signalled_while_agreeing(number: int) -> Callable[..., Any]:
    """A replacement for `Ranks.largest`: in one of its calls a signal comes after the ranks have exchanged their numbers."""
    plain, calls = parallel.Ranks.largest, itertools.count()

    def largest(ranks: parallel.Ranks, *numbers: int) -> list[int]:
        found = plain(ranks, *numbers)
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    return largest


def signalled_while_waiting() -> Callable[..., Any]:
    """A replacement for `Loop.ends`: a signal comes a little after all have agreed to stop."""
    plain = Loop.ends

    def ends(loop: Loop, stop: Any) -> bool:
        if result := plain(loop, stop):
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        return result

    return ends


def slow(plain: Callable[[Loop], None]) -> Callable[[Loop], None]:
    def conclude(loop: Loop) -> None:
        time.sleep(0.5)
        plain(loop)

    return conclude


def noticed(path: Path, found: list[bool]) -> Callable[..., Any]:
    """A replacement for `Loop.run` that looks afterwards whether a file is there."""
    plain = Loop.run

    def run(loop: Loop) -> int:
        number = plain(loop)
        found.append(path.exists())
        return number

    return run


def drawn_by_rank_0(plain: Callable[[Loop], None]) -> Callable[[Loop], None]:
    """A replacement for `Loop.sample` that draws from the stream of the training."""

    def sample(loop: Loop) -> None:
        if loop.folder:
            mg.rand(1)
        plain(loop)

    return sample


def fails(*_: object) -> Any:
    raise DownloadError("digits", {"http://a": "gone"})


def in_training(trainer: MnistGAN) -> np.ndarray:
    """Samples of a network that computes as in training."""
    with mg.no_grad():
        return as_pixels(trainer.generator(trainer.fixed_noise(4, 0)).numpy())


def with_batch_norm() -> contextlib.AbstractContextManager[Any]:
    D = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 1))
    return mock.patch.object(MnistGAN, "make_discriminator", return_value=D)


def worse_each_time(trainer: MnistGAN, batches: Batches) -> Evaluator:
    """Measures that never improve. Each makes a network compute as in training, which the classifier's training does."""
    values = iter(range(100))

    def measure() -> dict[str, float]:
        with mg.random.seeded(0):
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
    if second:
        again: Any = mock.patch.object(Loop, "ends", signalled_while_waiting())
    else:
        again = mock.patch.object(Loop, "guarded_step", interrupted_in_step(2))
    saving, brief = mock.patch.object(Loop, "conclude", slow(Loop.conclude)), mock.patch.object(command, "REPEATED", 0.3)
    with saving, brief:
        run("passed-on", *new, 8, "--out", FOLDER / "passed-on", patch=again)
    agreeing = mock.patch.object(parallel.Ranks, "largest", signalled_while_agreeing(2))
    run("agreeing", *new, 8, "--out", FOLDER / "agreeing", patch=agreeing if second else None)
    poisoned = mock.patch.object(Batches, "__getitem__", nan_in_step(6)) if second else None
    run("nan", *new, 8, "--save-every", "4steps", "--out", FOLDER / "nan", patch=poisoned)

    other = mock.patch("gans.data.batches.digest_of", return_value="of another data set")
    run("other-data", *new, 4, "--out", FOLDER / "b", patch=other if second else None)
    late = mock.patch.object(Loop, "ends", signalled_at_the_end()) if second else contextlib.nullcontext()
    waited: list[bool] = []
    noticing = mock.patch.object(Loop, "run", noticed(FOLDER / "late" / "checkpoint.safetensors", waited))
    with late, noticing:
        run("late", *new, 4, "--out", FOLDER / "late", patch=mock.patch.object(Loop, "conclude", slow(Loop.conclude)))
    save("waited", {"all": np.array(ranks.comm.allgather(waited))})
    own_draws = mock.patch.object(Loop, "sample", drawn_by_rank_0(Loop.sample))
    run("drawn", *new, 4, "--out", FOLDER / "drawn", patch=own_draws)
    run("report", *new, 4, "--out", FOLDER / "report", patch=mock.patch.object(MnistGAN, "report", fails))
    failing = mock.patch.object(MnistGAN, "evaluator", return_value=Evaluator({"distance": "none"}, fails))
    run("evaluation", *new, 8, "--evaluate-every", "2steps", "--out", FOLDER / "evaluation", patch=failing)
    with parallel.using(None):  # the command starts the ranks
        run("local-norm", *new, 4, "--batch-size", 7, "--local-norm", "--out", FOLDER / "a", patch=with_batch_norm())

    with (
        mock.patch.object(MnistGAN, "evaluator", worse_each_time),
        mock.patch.object(MnistGAN, "samples", in_training),
        mock.patch.object(MnistGAN, "real_sheet", lambda trainer, _: grid(in_training(trainer))),
    ):
        run("plateau", *new, 8, "--evaluate-every", "2steps", "--stop-when", 1, "--out", FOLDER / "plateau")
        run("finished", "--resume", "--out", FOLDER / "plateau")


def of_two_ranks(pair: int) -> None:
    for which in list(MAKERS)[pair::2]:
        save(f"2.{which}", trained(which))
    if pair:
        return
    save("synchronised", normalised())
    for evaluated in (False, True):
        save(f"networks-{evaluated}", of_networks(evaluated))
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
