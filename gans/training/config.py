"""The settings of a run as a dataclass, and a command line derived from it: each field is a flag."""

from __future__ import annotations

import argparse
import dataclasses
import re
import reprlib
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from gans import command
from gans.command import EXIT_CODES
from gans.data.errors import printable
from gans.training.schedule import intervals


class ConfigError(Exception):
    """Settings that contradict each other, or cannot be used here. The message is one sentence."""


def option(
    default: Any, help: str, choices: Any = (), at_least: float = 0, at_most: float = sys.float_info.max, form: Any = None
) -> Any:
    """A field of a config: its default, one line of help, and its allowed values.

    The bounds apply to numbers. `form` is a function that raises a ValueError for a text that is not allowed.
    """
    metadata = {"help": help, "choices": choices, "at_least": at_least, "at_most": at_most, "form": form}
    return dataclasses.field(default=default, metadata=metadata)


def kept() -> Any:
    """A field without a flag: the trainer sets it, and config.json keeps it. Until then it is None."""
    return option(None, "")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of every trainer."""

    backend: str = option("auto", "CPU or GPU; auto uses the GPU if there is one", choices=("auto", "numpy", "cupy"))
    no_capture: bool = option(False, "run each step op by op, instead of capturing one and replaying it")
    tf32: bool = option(False, "multiply in TF32 on a GPU: faster, with three correct decimal digits instead of six")
    data: str | None = option(None, "folder with the training data; by default cached, downloaded or drawn data")
    epochs: int = option(40, "passes through the data", at_least=1)
    steps: int | None = option(None, "stop after this many steps, even within an epoch", at_least=1)
    batch_size: int = option(128, "images per step", at_least=1)
    seed: int = option(0, "random seed for initial weights, data order and noise", at_most=2**64 - 1)
    out: Path | None = option(None, "run folder; by default runs/NAME")
    resume: bool = option(False, "continue the run in the run folder")
    overwrite: bool = option(False, "delete the run in the run folder and start a new one")
    sample_every: str = option(
        "1epoch",
        "how often to draw samples: 2 (epochs), 500steps, 30s, 5min or a list; at step 16, 32, ... too",
        form=intervals,
    )
    save_every: str = option("1epoch,5min", "how often to save a checkpoint, in the same way", form=intervals)
    keep_every: str | None = option(
        None, "how often to keep a numbered checkpoint too, in the same way; by default never", form=intervals
    )
    checkpoint: int | None = option(None, "with --resume: go back to the numbered checkpoint of this step", at_least=1)
    evaluate_every: str | None = option(
        None, "how often to measure the images, in the same way, and keep the best weights; by default never", form=intervals
    )
    stop_when: int | None = option(
        None, "stop when N evaluations in a row are not better than the best one before them", at_least=1
    )
    tensorboard: bool = option(False, "also write event files for TensorBoard (needs tensorboardX)")
    watch_gradients: bool = option(False, "note the norm of each layer's gradient in metrics.csv, and draw them over time")
    dry_run: bool = option(False, "run one step and write nothing")
    parallel: bool = option(False, "share each step among the processes of mpiexec -n N python -m gans.NAME --parallel")
    local_norm: bool = option(False, "with --parallel, batch normalisation uses the statistics of each process's own images")


C = TypeVar("C", bound=RunConfig)


class _Debug(argparse.Action):
    def __call__(self, *_: Any) -> None:
        command.current.debug = True


def _not_empty(text: str) -> str:
    """An empty path would be the current folder. Scripts pass one by mistake, in `--data "$UNSET"`."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


class OneLineParser(argparse.ArgumentParser):
    """The parser of every command: its error messages are one line, and it has --debug. No text may be empty."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, epilog=EXIT_CODES, **settings)
        self.register("type", Path, lambda text: Path(_not_empty(text)))
        self.register("type", None, _not_empty)
        self.add_argument("--debug", action=_Debug, nargs=0, dest=argparse.SUPPRESS, help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (--help lists the flags)\n")


def parse(config_class: type[C], prog: str, argv: Sequence[str] | None = None) -> tuple[C, set[str]]:
    """The config given by a command line, and the names of the fields that it sets."""
    parser = OneLineParser(prog, description=config_class.__doc__, allow_abbrev=False)
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        if field.metadata["help"]:
            _add_flag(parser, field, hints[field.name])
    given = vars(parser.parse_args(sys.argv[1:] if argv is None else argv))
    return config_class(**given), set(given)


def _add_flag(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    flag = "--" + field.name.replace("_", "-")
    shown = "" if field.default is None or field.default is False else f" (default: {field.default})"
    common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": field.metadata["help"] + shown}
    kind = _plain_type(hint)
    if kind is bool:
        parser.add_argument(flag, action="store_true", **common)
        return
    metavar = "WHEN" if field.metadata["form"] else {int: "N", float: "X"}.get(kind, "DIR")
    choices = field.metadata["choices"]
    if choices:
        parser.add_argument(flag, choices=choices, type=kind, **common)
    else:
        parser.add_argument(flag, type=_reader(kind, field), metavar=metavar, **common)


def _plain_type(hint: Any) -> type:
    """`int` for `int | None`."""
    if isinstance(hint, types.UnionType):
        return next(t for t in typing.get_args(hint) if t is not types.NoneType)
    return hint


def _reader(kind: type, field: dataclasses.Field[Any]) -> Any:
    """A function from a flag's text to its value. Argparse prints the message of its ArgumentTypeError unchanged."""

    def read(text: str) -> Any:
        try:
            value = kind(_not_empty(text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {_KINDS[kind]}") from None
        if problem := _problem(kind, value, field):
            raise argparse.ArgumentTypeError(problem)
        return value

    return read


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", Path: "a path"}


def _problem(kind: type, value: Any, field: dataclasses.Field[Any]) -> str | None:
    """Why a field cannot have this value, or None if it can."""
    if form := field.metadata["form"]:
        try:
            form(str(value))  # a run of an older version has saved its number of epochs, not a text
        except ValueError as error:
            return str(error)
        return None
    kinds: dict[type, tuple[type, ...]] = {float: (float, int), Path: (type(Path()),)}
    if type(value) not in kinds.get(kind, (kind,)):
        return f"{reprlib.repr(value)} is not {_KINDS[kind]}"
    if kind in (str, Path) and not is_plain(str(value)):
        return f"{reprlib.repr(str(value))} has characters that are not for names"
    choices, at_least, at_most = field.metadata["choices"], field.metadata["at_least"], field.metadata["at_most"]
    if choices and value not in choices:
        return f"{reprlib.repr(value)} is not one of {', '.join(map(str, choices))}"
    if kind in (int, float) and not at_least <= value:
        return f"{reprlib.repr(value)} is not {_KINDS[kind]} of at least {at_least}"
    at_most = min(at_most, 2**64 - 1) if kind is int else at_most
    if kind in (int, float) and not value <= at_most:
        return f"{reprlib.repr(value)} is more than {at_most}"
    return None


def is_plain(text: str) -> bool:
    """Whether a text can be part of a path and of one line on a terminal: it has no control characters."""
    return not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff]", text)


def check_saved(config_class: type[RunConfig], saved: dict[str, Any], path: Path) -> dict[str, Any]:
    """The values of a config that was read from a file, without unknown fields. ConfigError if a value is not allowed."""
    hints = typing.get_type_hints(config_class)
    fields = {field.name: field for field in dataclasses.fields(config_class) if field.name in saved}
    for name, field in fields.items():
        value = saved[name]
        may_be_none = field.default is None
        problem = None if value is None and may_be_none else _problem(_plain_type(hints[name]), value, field)
        if problem:
            raise ConfigError(f"{path} has a wrong {name}: {problem}")
    return {
        name: str(saved[name]) if field.metadata["form"] and saved[name] is not None else saved[name]
        for name, field in fields.items()
    }
