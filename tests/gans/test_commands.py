"""The list of trainers, the list of commands, and the order in which a command imports its modules."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gans
from benchmarks.cases import network_state
from gans import trainers
from gans.__main__ import commands, main, summary
from gans.trainers import TRAINERS, trainer_named
from gans.training.trainer import Trainer
from tests.gans.conftest import ROOT, run_here

GANS = Path(gans.__file__).parent


def modules() -> list[str]:
    """Every file of gans/, and every folder that is a command."""
    files = [path.stem for path in GANS.glob("*.py") if path.stem not in ("__init__", "__main__")]
    return sorted([*files, *(path.parent.name for path in GANS.glob("*/__main__.py"))])


def source_of_command(module: str) -> str:
    """The file that `python -m gans.MODULE` runs."""
    path = GANS / f"{module}.py"
    return (path if path.exists() else GANS / module / "__main__.py").read_text()


def defines_trainer(module: str) -> bool:
    """Whether the module, or a file of its folder, defines a Trainer with a `name`."""
    return any(
        isinstance(value, type)
        and issubclass(value, Trainer)
        and "name" in vars(value)
        and f"{value.__module__}.".startswith(f"gans.{module}.")
        for value in vars(importlib.import_module(f"gans.{module}")).values()
    )


def unlisted(listed: tuple[str, ...]) -> list[str]:
    return [f'gans/{name} defines a trainer: add "{name}" to TRAINERS in gans/trainers.py' for name in modules()
            if name not in listed and defines_trainer(name)]  # fmt: skip


def unfounded(listed: tuple[str, ...]) -> list[str]:
    return [f'TRAINERS in gans/trainers.py lists "{name}", but gans/{name} defines no trainer' for name in listed
            if name not in modules() or not defines_trainer(name)]  # fmt: skip


def test_the_list_of_trainers_agrees_with_the_files() -> None:
    problems = unlisted(TRAINERS) + unfounded(TRAINERS)
    assert not problems, "; ".join(problems)


def test_a_missing_and_a_wrong_entry_of_the_list_are_found() -> None:
    assert [line.split()[0] for line in unlisted(tuple(name for name in TRAINERS if name != "wgan"))] == ["gans/wgan"]
    assert [line.split()[4] for line in unfounded((*TRAINERS, "losses", "no_such_gan"))] == ['"losses",', '"no_such_gan",']


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_has_its_modules_name_captions_and_a_description(name: str) -> None:
    trainer_class = trainer_named(name)
    assert trainer_class.name == name
    assert trainer_class.captions
    config = trainer_class.config_class
    assert config.__doc__ and not config.__doc__.startswith(f"{config.__name__}("), "not the one that @dataclass makes up"


@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("bigan", {"generator", "encoder"}),
        ("infogan", {"generator", "discriminator"}),
        ("ssgan", {"generator", "classifier"}),
    ],
)
def test_kept_weights_are_named_by_their_networks(name: str, networks: set[str]) -> None:
    kind = trainer_named(name)
    trainer = kind(kind.config_class(backend="numpy"))
    kept = trainer.weights()
    assert {key.partition(".")[0] for key in kept} == networks
    assert kept.keys() == {key for key in network_state(trainer) if key.partition(".")[0] in networks}


def test_a_trainer_with_another_modules_name_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_named("wgan"), "name", "dcgan")
    with pytest.raises(LookupError, match=r'gans\.wgan has no trainer class with name = "wgan"'):
        trainers.trainer_named("wgan")


def test_every_command_is_listed_with_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m gans"])
    main()
    _, _, *lines = capsys.readouterr().out.splitlines()
    runnable = [name for name in modules() if 'if __name__ == "__main__"' in source_of_command(name)]
    assert runnable == sorted(commands()) and {*TRAINERS, "generate", "translate"} <= {*runnable}
    assert len(lines) == len(commands())
    for line, (name, text) in zip(lines, commands().items(), strict=True):
        assert line.split()[:3] == ["python", "-m", f"gans.{name}"] and line.endswith(f"  {text}")
        assert 10 < len(text) < 110 and "`" not in text


def test_a_summary_is_the_first_line_without_the_command() -> None:
    assert summary('"""Draws: `python -m gans.draws`.\n\nMore.\n"""') == "Draws"
    assert summary('"""GAN: it draws.\n\n    python -m gans.draws\n"""') == "GAN: it draws"


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["no flag", "--help"])
def test_the_package_lists_its_commands(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "gans", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"python -m gans.{name} " in done.stdout for name in commands())


@pytest.mark.parametrize("module", ["gans", *(f"gans.{name}" for name in commands())])
def test_the_environment_is_tuned_before_numpy_loads(module: str) -> None:
    """`-X importtime` prints each module when its code has run."""
    command = [sys.executable, "-X", "importtime", "-m", module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    order = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    numpy = next(i for i, name in enumerate(order) if name.split(".")[0] == "numpy")
    assert order.index("minigrad.tuning") < numpy


WRONG = [
    "gans.generate run --out=", "gans.generate run --seed=-1", "gans.evaluate run --data=", "gans.evaluate run --out=",
    "gans.translate run --direction=AtoB --input= --out=x", "gans.translate run --direction=AtoB --input=x --out=",
    "gans.toy.__main__ --out=", "gans.toy.__main__ --port=65536", "gans.toy.__main__ --seed=x", "gans.toy.__main__ --\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_flag_of_any_command_is_one_short_line(line: str) -> None:
    module, *arguments = line.split()
    ended = run_here(importlib.import_module(module).main, tuple(arguments))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith("\n") and ended.err[:-1].isprintable() and len(ended.err) < 200
