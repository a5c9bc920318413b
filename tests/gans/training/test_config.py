from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gans import command
from gans.mnist_gan import Config
from gans.training.arguments import integer_up_to
from gans.training.config import parse

FLAGS = (
    "backend", "data", "epochs", "steps", "batch-size", "lr", "seed", "out", "resume", "sample-every", "dry-run",
)  # fmt: skip
Start = Callable[..., subprocess.Popen[str]]

WRONG = {
    "an unknown flag": ["--nonsense"],
    "a flag cut short": ["--epoch", "3"],
    "a word without a flag": ["mnist"],
    "no value": ["--epochs"],
    "an empty value": ["--epochs", ""],
    "a word for a number": ["--epochs", "forty"],
    "a fraction for a count": ["--epochs", "1.5"],
    "an exponent for a count": ["--steps", "1e3"],
    "no epochs": ["--epochs", "0"],
    "negative epochs": ["--epochs", "-1"],
    "no steps": ["--steps", "0"],
    "an empty batch": ["--batch-size", "0"],
    "samples never": ["--sample-every", "0"],
    "samples every half epoch": ["--sample-every", "0.5"],
    "samples by an unknown unit": ["--sample-every", "3weeks"],
    "checkpoints every nothing": ["--save-every", "1epoch,"],
    "a negative seed": ["--seed", "-1"],
    "a seed of 65 bits": ["--seed", str(2**64)],
    "a fraction for the seed": ["--seed", "0.5"],
    "a word for the rate": ["--lr", "fast"],
    "a negative rate": ["--lr", "-0.1"],
    "a rate that is no number": ["--lr", "nan"],
    "an infinite rate": ["--lr", "inf"],
    "a rate too large for a float": ["--lr", "1e999"],
    "an unknown backend": ["--backend", "tpu"],
    "a value for a switch": ["--dry-run=yes"],
    "an empty folder": ["--out", ""],
    "empty data, as from an unset variable": ["--data="],
}


def parsed(*argv: str) -> tuple[Config, set[str]]:
    return parse(Config, "prog", argv)


@pytest.mark.parametrize("argv", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_gives_one_line_and_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(*argv)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.startswith("prog: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert argv[0].partition("=")[0] in err, "the line names the flag"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("--backend numpy", "backend", "numpy"),
        ("--data some/folder", "data", "some/folder"),
        ("--epochs 3", "epochs", 3),
        ("--steps 7", "steps", 7),
        ("--batch-size 1", "batch_size", 1),
        ("--lr 2e-4", "lr", 2e-4),
        ("--lr 1", "lr", 1.0),
        ("--lr 0", "lr", 0.0),
        (f"--seed {2**64 - 1}", "seed", 2**64 - 1),
        ("--out a/b", "out", Path("a/b")),
        ("--resume", "resume", True),
        ("--overwrite", "overwrite", True),
        ("--sample-every 5", "sample_every", "5"),
        ("--save-every 2epochs,300s", "save_every", "2epochs,300s"),
        ("--dry-run", "dry_run", True),
        ("--epochs=12", "epochs", 12),
    ],
)
def test_a_flag_sets_its_field_in_the_right_type_and_no_other(text: str, name: str, value: Any) -> None:
    config, given = parsed(*text.split())
    assert given == {name}
    assert getattr(config, name) == value
    assert isinstance(getattr(config, name), type(value))
    others = {field: v for field, v in vars(config).items() if field != name}
    assert others == {field: v for field, v in vars(Config()).items() if field != name}


def test_without_flags_the_settings_are_those_of_the_paper_setup() -> None:
    config, given = parsed()
    assert given == set()
    assert (config.epochs, config.batch_size, config.lr, config.backend, config.seed) == (40, 128, 3e-4, "auto", 0)
    assert config.steps is None
    assert config.data is None
    assert config.out is None
    assert not (config.resume)
    assert not (config.overwrite)
    assert not (config.dry_run)


def test_the_last_of_two_equal_flags_counts() -> None:
    assert parsed("--epochs", "2", "--epochs", "3")[0].epochs == 3


def test_help_lists_every_flag(start: Start) -> None:
    out, err = (process := start("gans.mnist_gan", "--help")).communicate()
    assert process.returncode == 0
    assert err == ""
    assert [flag for flag in FLAGS if f"--{flag} " not in out and f"--{flag}]" not in out and f"--{flag}\n" not in out] == []


@pytest.mark.clock
def test_help_answers_in_half_a_second(start: Start) -> None:
    seconds = []
    for _ in range(10):  # the best counts: the machine may be busy
        begin = time.perf_counter()
        start("gans.mnist_gan", "--help").communicate()
        seconds.append(time.perf_counter() - begin)
        if len(seconds) >= 3 and min(seconds) < 0.5:
            break
    assert min(seconds) < 0.5


@pytest.mark.parametrize("module", ["gans.mnist_gan", "gans.generate"])
def test_help_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    code = f"""
import atexit, runpy, sys
sys.argv = ["x", "--help"]
heavy = {{"numba", "matplotlib", "PIL", "scipy", "cupy", "tqdm", "safetensors"}}
atexit.register(lambda: print("HEAVY", sorted(heavy & set(sys.modules)), file=sys.stderr))
runpy.run_module("{module}", run_name="__main__")
"""
    root = Path(sys.modules["gans"].__file__ or "").parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0
    assert done.stderr == "HEAVY []\n"


def test_debug_is_a_flag_of_every_command_and_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.current, "debug", False)
    config, given = parsed("--debug", "--epochs", "3")
    assert command.current.debug
    assert given == {"epochs"} and not hasattr(config, "debug")


def test_a_path_that_cannot_be_printed_is_named_as_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Config, "prog", ["--out", "a\nb"])
    assert "'a\\nb' has characters" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "11", "9" * 5000])
def test_a_wrong_integer_is_refused_in_a_short_sentence(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not an integer from 1 to 10$") as caught:
        integer_up_to(10)(text)
    assert len(str(caught.value)) < 150
