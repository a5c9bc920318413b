"""Around the work of every command: its output, the signals that stop it, and its exit code.

Output that cannot be written stops no command. Characters that a terminal lacks are printed as
escapes; what is written to a closed terminal, to a reader that is gone (`| head`) or to a full disk
is lost.

Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) end a command at any time. While it trains, it
finishes the step and saves first (`stop_request`). Programs that start others often pass on a signal
that these have got already: what comes within a second of the first is taken for the same.

EXIT_CODES says what a command's exit code means.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from gans.data.errors import printable

EXIT_CODES = (
    "Exit codes: 0 done; 1 an error that a sentence on stderr explains; 2 a wrong flag; 70 a bug, its traceback is in a file; "
    "74 done, but stdout could not be written; 128 + n stopped by signal n (130 Ctrl-C, 143 SIGTERM, 129 SIGHUP)."
)
ERROR, BUG, LOST_OUTPUT, SIGNAL = 1, 70, 74, 128  # 70 and 74 are EX_SOFTWARE and EX_IOERR of sysexits.h

REPEATED = 1.0  # seconds

# SIGBREAK is Ctrl-Break or a closed window on Windows, which has no SIGHUP.
STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]

Handler = Callable[[int, FrameType | None], None]


class Stopped(KeyboardInterrupt):
    """A signal stops this command."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    def __reduce__(self) -> Any:  # else pickle would give the sentence to __init__
        return type(self), (self.number,)


@dataclass
class Command:
    """What the command that is running has found out about itself."""

    debug: bool = False  # show the traceback of an error
    folder: Path | None = None  # for the traceback of a bug; by default the temporary folder
    signalled: float = -math.inf  # when a signal came, by the clock of `time.monotonic`


current = Command()


@contextlib.contextmanager
def running(prog: str, errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Context manager or decorator of a whole command, which ends it with one sentence and an exit code.

    `errors` are those that the user can mend; all other exceptions are bugs.
    """
    current.debug, current.folder, current.signalled = False, None, -math.inf
    out: Any = Output(sys.stdout)
    err: Any = Output(sys.stderr)
    ended: BaseException | None = None
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _warnings_are_sentences(), _on_signals(_stop):
        try:
            yield
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            ended = error
            code = _explain(prog, error, errors)
        if lost := out.finish():
            code = code or LOST_OUTPUT
            print(f"{prog}: stdout could not be written ({lost})", file=sys.stderr)
        err.finish()
    if ended or code:
        raise SystemExit(code) from None


def _explain(prog: str, error: BaseException, errors: tuple[type[Exception], ...]) -> int:
    """Print one sentence about what ended a command. Returns the exit code."""
    if isinstance(error, SystemExit):
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return error.code if isinstance(error.code, int) else ERROR if error.code else 0
    if isinstance(error, KeyboardInterrupt):
        print(f"{prog}: {str(error) or 'interrupted'}", file=sys.stderr)
        return SIGNAL + getattr(error, "number", signal.SIGINT)
    if current.debug:
        traceback.print_exception(error)
    if isinstance(error, MemoryError):
        details = f" ({error})" if str(error) else ""
        print(f"{prog}: there is not enough memory for these settings{details}", file=sys.stderr)
        return ERROR
    if isinstance(error, errors):
        print(f"{prog}: {printable(str(error))}", file=sys.stderr)
        return ERROR
    what = " ".join("".join(traceback.format_exception_only(error)).split())
    where = "above" if current.debug else f"in {_write_traceback(error)}"
    print(f"{prog}: this is a bug, please report it: {what}. The traceback is {where}", file=sys.stderr)
    return BUG


def _write_traceback(error: BaseException) -> str:
    """Write a new file with the traceback of an error. Returns its path."""
    for folder in (current.folder, None):
        with contextlib.suppress(OSError):
            number, path = tempfile.mkstemp(".txt", "traceback-", folder)
            with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
                traceback.print_exception(error, file=file)
            return path
    traceback.print_exception(error)
    return "the lines above, because no file could be written"


class Output:
    """A text stream that never fails. What it cannot write is lost; `finish` says why."""

    def __init__(self, stream: TextIO | None) -> None:
        self.missing = stream is None or stream.closed
        if stream is None or stream.closed:
            # This takes the descriptor that is free. Else a file of the run would, and get what libraries print.
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self.stream = stream
        self.problem: OSError | ValueError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.problem = self.problem or error
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self.problem = self.problem or error

    def finish(self) -> str:
        """Flush. Returns why something was lost, unless its reader has gone: then there is no one to miss it."""
        self.flush()
        if self.missing:
            self.stream.close()
        if self.problem is None:
            return ""
        with contextlib.suppress(OSError, ValueError):  # else Python tries to write the rest when it ends, and complains
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), self.stream.fileno())
            self.stream.flush()
        reason = getattr(self.problem, "strerror", None) or str(self.problem)
        return "" if isinstance(self.problem, BrokenPipeError) else reason


@contextlib.contextmanager
def _warnings_are_sentences() -> Iterator[None]:
    """Print a RuntimeWarning without the line of code that it comes from."""
    plain = warnings.formatwarning

    def sentence(message: Any, category: type[Warning], *place: Any) -> str:
        return f"{message}\n" if category is RuntimeWarning else plain(message, category, *place)

    warnings.formatwarning = sentence  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = plain


# --- signals


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End the process: the handler while modules are imported, when nothing can be lost."""
    with contextlib.suppress(Exception):
        print(f"gans: {Stopped(number)}", file=sys.stderr, flush=True)
    os._exit(SIGNAL + number)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@dataclass
class StopRequest:
    signal: int = 0  # the number of the signal that stops this command, or 0


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """What becomes of the first signal, so that the current step is finished. The second one interrupts."""
    stop = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not stop.signal:
            stop.signal = number
        elif signal.Signals(number).name != "SIGHUP":  # a terminal that closes sends two: from the shell, from the system
            raise Stopped(number)

    with _on_signals(on_signal):
        yield stop


@contextlib.contextmanager
def _on_signals(handler: Handler) -> Iterator[None]:
    """Context in which signals that stop a command call `handler`. `nohup` keeps a SIGHUP from being one."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return

    def on_first(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - current.signalled > REPEATED:
            current.signalled = time.monotonic()
            handler(number, frame)

    before = {number: signal.getsignal(number) for number in STOPS}
    try:
        handle_signals(on_first)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old or signal.SIG_DFL)


def handle_signals(handler: Handler) -> None:
    for number in STOPS:
        if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:  # a shell's background jobs ignore SIGINT
            signal.signal(number, handler)
