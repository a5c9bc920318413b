"""The command `python -m gans.explain`."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import minigrad as mg
from gans.command import running
from gans.explain.calls import captured_calls
from gans.explain.record import record, sources
from gans.trainers import TRAINERS, trainer_named
from gans.training.cli import MAY_CHANGE, USER_ERRORS, check_same_data, data_settings
from gans.training.config import ConfigError, OneLineParser, RunConfig, check_saved, parse
from gans.training.loop import Loop
from gans.training.run_folder import RunFolder
from gans.training.trainer import Trainer
from minigrad.io.files import write_atomically

PROG = "python -m gans.explain"
SMALL = {"batch_size": 8, "critic_steps": 1}  # at most, unless they are given: the page shows one small step
UNUSED = {  # flags of a training that mean nothing for one step
    "backend", "dry_run", "evaluate_every", "keep_every", "local_norm", "overwrite", "parallel", "resume", "sample_every",
    "save_every", "stop_when", "tensorboard",
}  # fmt: skip
PAGE = Path(__file__).with_name("page")


@running(PROG, USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser(
        PROG,
        allow_abbrev=False,
        description="Write a page that shows one training step: its graph, values, and backward passes.",
    )
    parser.add_argument("name", choices=TRAINERS, metavar="NAME", help=f"a trainer: {', '.join(TRAINERS)}")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        help="take the step from this run's last checkpoint; or with --checkpoint STEP, from a numbered one",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page to write (default: NAME.html)")
    parser.usage = f"{PROG} NAME [--run DIR] [--out FILE] [flags of the trainer, such as --data DIR --batch-size N]"
    arguments, rest = parser.parse_known_args(argv)
    out = arguments.out or Path(f"{arguments.name}.html")
    trainer_class = trainer_named(arguments.name)
    config, given = parse(trainer_class.config_class, f"{PROG} {arguments.name}", rest)
    check_flags(given, arguments.run)
    trainer, batch, step, smaller = prepared(trainer_class, config, given, arguments.run)
    write_atomically(out, page(trainer, batch, step, smaller).encode())
    print(f"Open {out} in a browser: step {step + 1:,} of {arguments.name}")


def check_flags(given: set[str], run: Path | None) -> None:
    """ConfigError for flags that mean nothing here, and for those that would make another step than the run's."""
    if unused := sorted(given & UNUSED):
        raise ConfigError(f"--{unused[0].replace('_', '-')} has no effect on the page of one step; leave it out")
    if "checkpoint" in given and not run:
        raise ConfigError("--checkpoint goes back to an earlier step of a run: give --run DIR too")
    if run and (changed := sorted(given - MAY_CHANGE - SMALL.keys())):
        raise ConfigError(f"--{changed[0].replace('_', '-')} would give another step than the run's; leave it out")


def prepared(
    trainer_class: type[Trainer], config: RunConfig, given: set[str], run: Path | None
) -> tuple[Trainer, tuple[mg.Tensor, ...], int, dict[str, int]]:
    """A trainer, the batch of its next step, the number of steps that it has done, and the run's values of smaller settings."""
    folder = RunFolder(run) if run else None
    if folder:
        settings = folder.settings()
        if settings["trainer"] != trainer_class.name:
            raise ConfigError(f"{run} holds a run of gans.{settings['trainer']}, not of gans.{trainer_class.name}")
        saved = check_saved(trainer_class.config_class, settings["config"], folder.config)
        config = type(config)(**{**saved, **{name: getattr(config, name) for name in given}})
    fields = {field.name for field in dataclasses.fields(config)} - given
    smaller = {name: getattr(config, name) for name in fields & SMALL.keys() if getattr(config, name) > SMALL[name]}
    changed: dict[str, Any] = {name: SMALL[name] for name in smaller}
    config = dataclasses.replace(config, backend="numpy", **changed)
    mg.manual_seed(config.seed)
    trainer = trainer_class(config)
    loop = Loop(trainer, trainer.load_batches(), folder)
    if folder:
        check_same_data(settings, data_settings(loop.batches))
        loop.read_checkpoint(config.checkpoint)
    return trainer, tuple(loop.batches[loop.step]), loop.step, smaller


def page(trainer: Trainer, batch: tuple[mg.Tensor, ...], step: int, smaller: Mapping[str, int] = MappingProxyType({})) -> str:
    """One step of the trainer as a page. `smaller` are the values in a run of those settings that are smaller here."""
    for optimizer in trainer.optimizers().values():  # NaN does not end this step: the page shows where it begins
        vars(optimizer)["check"] = functools.wraps(optimizer.check)(lambda: None)
    with np.errstate(all="ignore"):
        recorder, metrics = record(trainer, batch)
        calls, refusal = captured_calls(trainer, batch, recorder.events)
    data: dict[str, Any] = {
        "name": trainer.name,
        "title": (type(trainer).__doc__ or "").partition("\n")[0],
        "about": f"step {step + 1:,}, " + ", ".join(_sizes(trainer, smaller)),
        "metrics": {name: f"{value.item():.4g}" for name, value in metrics.items()},
        "captions": dict(trainer.captions),
        "networks": {name: {"about": type(network).__name__, "parameters": sum(p.size for p in network.parameters())}
                     for name, network in recorder.networks.items()},
        "nodes": recorder.nodes,
        "passes": recorder.passes,
        "groups": recorder.groups,
        "ops": {name: sources(kind) for name, kind in recorder.kinds.items()},
        "calls": calls,
        "refusal": refusal,
    }  # fmt: skip
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")  # so that no </script> ends the script
    return template().replace("NAME_OF_TRAINER", trainer.name).replace("{/*DATA*/}", text)


def _sizes(trainer: Trainer, smaller: Mapping[str, int]) -> Iterator[str]:
    """How large the step is, and what a run does where that is more."""
    for name, one, many in (("batch_size", "image", "images"), ("critic_steps", "critic step", "critic steps")):
        if hasattr(trainer.config, name):
            value = getattr(trainer.config, name)
            yield f"{value} {one if value == 1 else many}" + (f" (the run: {smaller[name]})" if name in smaller else "")


def template() -> str:
    """page.html with its style sheet and its scripts inside."""
    text = (PAGE / "page.html").read_text("utf-8")
    text = re.sub(r'<link rel="stylesheet" href="(.+)">', lambda found: f"<style>\n{_part(found)}</style>", text)
    return re.sub(r'<script src="(.+)">', lambda found: f"<script>\n{_part(found)}", text)


def _part(found: re.Match[str]) -> str:
    return (PAGE / found[1]).read_text("utf-8")


if __name__ == "__main__":
    main()
