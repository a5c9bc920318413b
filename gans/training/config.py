"""Settings of a run as a dataclass, and the command line made from it: one field, one flag."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar


class ConfigError(Exception):
    """Settings that cannot be used together, or not here; the message is one sentence."""


def option(
    default: Any, help: str, choices: Sequence[Any] = (), at_least: float = 0, at_most: float = sys.float_info.max
) -> Any:
    """A field of a config: its default, one line of help, and what values it takes (bounds are for numbers)."""
    metadata = {"help": help, "choices": choices, "at_least": at_least, "at_most": at_most}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings that every trainer has."""

    backend: str = option("auto", "what computes; auto takes the GPU if there is one", choices=("auto", "numpy", "cupy"))
    no_capture: bool = option(False, "make each step op by op, not as the replay of a recorded one")
    tf32: bool = option(False, "on a GPU multiply in TF32: faster, with three correct decimals in place of six")
    data: str | None = option(None, "folder of the training data; without it: cache, download, or drawn data")
    epochs: int = option(40, "passes through the data", at_least=1)
    steps: int | None = option(None, "stop after this many steps, even within an epoch", at_least=1)
    batch_size: int = option(128, "images a step", at_least=1)
    seed: int = option(0, "fixes initial weights, order of the data and noise", at_most=2**64 - 1)
    out: Path | None = option(None, "run folder; runs/NAME by default")
    resume: bool = option(False, "go on with the run in the run folder")
    overwrite: bool = option(False, "start anew in a run folder that holds a run, deleting that run")
    sample_every: int = option(1, "epochs between two sample grids", at_least=1)
    dry_run: bool = option(False, "set everything up, make one step, write nothing")


C = TypeVar("C", bound=RunConfig)


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def parse(config_class: type[C], prog: str, argv: Sequence[str] | None = None) -> tuple[C, set[str]]:
    """The config that a command line asks for, and the names of the fields it sets."""
    parser = OneLineParser(prog, description=config_class.__doc__, allow_abbrev=False)
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
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
    metavar = {int: "N", float: "X", Path: "DIR", str: "NAME"}[kind]
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
    """What turns the text behind a flag into a value; argparse shows the message of ArgumentTypeError as it is."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {_KINDS[kind]}") from None
        if complaint := _fault(kind, value, field):
            raise argparse.ArgumentTypeError(complaint)
        return value

    return read


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def _fault(kind: type, value: Any, field: dataclasses.Field[Any]) -> str | None:
    """What is wrong with a value of a field, or None."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind and not (kind is Path and isinstance(value, Path)):
        return f"{value!r} is not {_KINDS[kind]}"
    choices, at_least, at_most = field.metadata["choices"], field.metadata["at_least"], field.metadata["at_most"]
    if choices and value not in choices:
        return f"{value!r} is none of {', '.join(map(str, choices))}"
    if kind in (int, float) and not at_least <= value:
        return f"{value} is not {_KINDS[kind]} of at least {at_least}"
    if kind in (int, float) and not value <= at_most:
        return f"{value} is more than {at_most}"
    return None


def check_saved(config_class: type[RunConfig], saved: dict[str, Any]) -> dict[str, Any]:
    """The values of a config read from a file, those of unknown fields left out. ConfigError if one cannot be right."""
    hints = typing.get_type_hints(config_class)
    fields = {field.name: field for field in dataclasses.fields(config_class) if field.name in saved}
    for name, field in fields.items():
        value = saved[name]
        may_be_none = field.default is None
        complaint = None if value is None and may_be_none else _fault(_plain_type(hints[name]), value, field)
        if complaint:
            raise ConfigError(f"the saved setting {name}: {complaint}")
    return {name: saved[name] for name in fields}
