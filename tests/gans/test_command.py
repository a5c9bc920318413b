"""Around a command: output that cannot be written, signals, and the exit code with its sentence."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gans import command
from gans.command import STOPS, Output, Stopped, running, stop_request
from gans.mnist_gan import MnistGAN
from gans.training.loop import Loop
from tests.gans.conftest import ROOT, Ended, Train, checkpoint_step, run_here
from tests.gans.training.conftest import at_step

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and devices")


class Mistake(Exception):
    """An error of the user."""


def run(work: Callable[[], object]) -> Ended:
    def main(_: list[str]) -> None:
        with running("prog", (Mistake,)):
            work()

    return run_here(main, ())


def fail(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def send(number: int) -> None:
    os.kill(os.getpid(), number)


# --- exit codes


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (SystemExit(), 0, ""),
        (SystemExit(2), 2, ""),
        (SystemExit("no PyTorch"), 1, "no PyTorch\n"),
        (Mistake("too many"), 1, "prog: too many\n"),
        (Mistake("\x1b[2J\na\udcff"), 1, "prog: \\x1b[2J\\na\\udcff\n"),
        (MemoryError(), 1, "prog: there is not enough memory for these settings\n"),
        (MemoryError("64 GB"), 1, "prog: there is not enough memory for these settings (64 GB)\n"),
        (KeyboardInterrupt(), 130, "prog: interrupted\n"),
    ],
    ids=repr,
)
def test_what_ends_a_command_is_an_exit_code_and_a_sentence(error: BaseException, code: int, sentence: str) -> None:
    assert run(fail(error)) == Ended(code, "", sentence)
    assert run(lambda: print("done")) == Ended(0, "done\n", "")


def test_the_traceback_of_a_bug_is_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = run(fail(ZeroDivisionError("a\nb")))
    (path,) = tmp_path.iterdir()
    assert ended.code == 70
    assert ended.err == f"prog: this is a bug, please report it: ZeroDivisionError: a b. The traceback is in {path}\n"
    assert path.read_text().startswith("Traceback") and "raise error" in path.read_text()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    assert "\nZeroDivisionError: a b\nprog: " in run(fail(ZeroDivisionError("a b"))).err, "there is no place for a file"


@pytest.mark.parametrize("error", [Mistake("too many"), ZeroDivisionError("by 0")], ids=repr)
def test_debug_shows_the_traceback(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        command.current.debug = True
        raise error

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = run(work)
    assert ended.err.startswith("Traceback") and ended.err.splitlines()[-1].startswith("prog: ")
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in run(fail(Mistake())).err, "the next command decides again"


def test_a_warning_is_one_sentence() -> None:
    def formatted(category: type[Warning]) -> str:
        return warnings.formatwarning("it is slow", category, "file.py", 3, "code")

    plain = formatted(RuntimeWarning)
    assert run(lambda: print(formatted(RuntimeWarning), end="")).out == "it is slow\n"
    assert run(lambda: print(formatted(UserWarning), end="")).out == formatted(UserWarning)
    assert formatted(RuntimeWarning) == plain


# --- output


@given(text=st.text(st.characters(codec=None)), encoding=st.sampled_from(["ascii", "cp1252", "utf-8"]))
def test_what_a_terminal_lacks_is_printed_as_escapes(text: str, encoding: str) -> None:
    written = io.BytesIO()
    out = Output(io.TextIOWrapper(written, encoding=encoding, newline=""))
    print(text, end="", file=out)  # type: ignore[call-overload]
    assert out.finish() == ""
    assert written.getvalue() == text.encode(encoding, "backslashreplace")


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_command_without_streams_runs(stream: str | None) -> None:
    closed = io.StringIO()
    closed.close()
    with contextlib.redirect_stdout(closed if stream else None), contextlib.redirect_stderr(closed if stream else None):
        with running("prog"):
            print("hello")
            print("hello", file=sys.stderr, flush=True)
            assert not sys.stderr.isatty()
        with pytest.raises(SystemExit) as end, running("prog"):
            raise KeyboardInterrupt
    assert end.value.code == 130


@POSIX
@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_full_disk_is_said_at_the_end_and_a_reader_that_has_gone_is_not(lines: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = []

    def work() -> None:
        for _ in range(lines):
            print("hello")
        done.append(lines)

    with open(writer, "w") as pipe, open("/dev/full", "w") as full:  # closing them must not fail either
        for stream, code in ((pipe, None), (full, 74)):
            err = io.StringIO()
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
                ended = None
                try:
                    with running("prog"):
                        work()
                except SystemExit as end:
                    ended = end.code
            assert ended == code
            assert err.getvalue() == ("prog: stdout could not be written (No space left on device)\n" if code else "")
    assert done == [lines] * 2


# --- signals


@POSIX
@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_a_signal_ends_a_command_with_its_code_and_one_sentence(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in STOPS]
    assert run(lambda: send(number)) == Ended(128 + number, "", f"prog: stopped by {number.name}\n")
    assert [signal.getsignal(n) for n in STOPS] == before


@POSIX
def test_nohup_keeps_a_command_running() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(lambda: send(signal.SIGHUP)).code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@POSIX
@pytest.mark.parametrize("first", STOPS, ids=lambda number: number.name)
def test_the_second_signal_interrupts_what_finishes_the_step(first: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "current", command.Command())
    with stop_request() as stop:
        send(first)
        assert stop.signal == first
        for repeated in STOPS:
            send(repeated)
        for second in (signal.SIGINT, signal.SIGTERM):
            command.current.signalled -= command.REPEATED
            send(signal.SIGHUP)  # a closed terminal sends it twice
            command.current.signalled -= command.REPEATED
            with pytest.raises(Stopped) as stopped:
                send(second)
            assert stopped.value.number == second and stop.signal == first


@POSIX
def test_a_signal_that_is_passed_on_twice_ends_a_command_once() -> None:
    cleaned = []

    def work() -> None:
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGINT)
            cleaned.append(True)

    assert run(work) == Ended(130, "", "prog: stopped by SIGINT\n")
    assert cleaned


@POSIX
@pytest.mark.usefixtures("plots_stubbed")
@pytest.mark.parametrize("where", ["load_batches", "report"])
def test_a_signal_before_or_after_the_loop_is_one_sentence(
    where: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: MnistGAN) -> None:
        send(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MnistGAN, where, interrupted)
        ended = train("--steps", 1, "--out", tmp_path / "run")
    assert ended.code == 143 and "Done" not in ended.out
    assert ended.err.splitlines()[-1] == "python -m gans.mnist_gan: stopped by SIGTERM"
    assert "Traceback" not in ended.err
    if where == "report":
        assert train("--resume", "--out", tmp_path / "run").code == 0


@POSIX
@pytest.mark.usefixtures("plots_stubbed")
def test_a_closed_terminal_saves_the_run(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, *_: str) -> int:
            raise OSError(5, "Input/output error")

        flush = write  # type: ignore[assignment]

    def hang_up() -> None:
        sys.stdout.stream = sys.stderr.stream = Gone()  # type: ignore[attr-defined]
        send(signal.SIGHUP)
        send(signal.SIGHUP)

    monkeypatch.setattr(Loop, "guarded_step", at_step(3, hang_up))
    assert train("--epochs", 3, "--out", tmp_path / "run").code == 129
    assert checkpoint_step(tmp_path / "run") == 3


@POSIX
def test_a_signal_while_modules_are_imported_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys, threading, time\n"
        "def send():\n"
        "    while 'numpy' not in sys.modules: time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=send, daemon=True).start()\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    program = [sys.executable, "-m", "gans.mnist_gan", "--help"]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "gans: stopped by SIGTERM\n")


# --- a whole run


@pytest.mark.usefixtures("plots_stubbed")
def test_a_bug_in_training_leaves_its_traceback_in_the_run_folder(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "guarded_step", at_step(6, fail(ZeroDivisionError("by 0"))))
        ended = train("--epochs", 2, "--out", folder)
    (path,) = folder.glob("traceback-*.txt")
    assert ended.code == 70 and ended.err.endswith(f"The traceback is in {path}\n")
    assert train("--resume", "--out", folder).code == 0
    assert train("--overwrite", "--steps", 1, "--out", folder).code == 0
    assert not path.exists()


@POSIX
def test_a_run_without_a_terminal_or_a_plotting_backend_trains_and_says_where_it_is(digits: Path, tmp_path: Path) -> None:
    """As in a service on a system without UTF-8, with a folder named in other scripts, and stderr closed."""
    variables = {"LANG": "C", "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1", "MPLBACKEND": "module://nothing"}
    folder = "Übung/画像\udcff"  # the last byte of its name is in no encoding
    program = [sys.executable, "-m", "gans.mnist_gan", "--steps", "1", "--batch-size", "4"]
    program += ["--data", str(digits), "--out", folder]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *program],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0
    assert re.search(r"^Done.* \\xdcbung/\\u753b\\u50cf\\udcff", done.stdout, re.MULTILINE)
    assert (tmp_path / folder / "losses.png").exists()


@POSIX
def test_a_list_that_cannot_be_written_is_an_exit_code() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "gans"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (74, "python -m gans: stdout could not be written (No space left on device)\n")
