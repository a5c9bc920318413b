"""The busy process is busy, and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.cases import CASES
from benchmarks.measure import beside
from benchmarks.settings import Settings


def test_the_busy_process_ends_with_its_context_even_after_an_error() -> None:
    def interrupted() -> None:
        nonlocal process
        with beside.busy_process() as process:
            assert process.poll() is None
            raise KeyboardInterrupt

    process: Any = None
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert process.poll() is not None


def test_the_busy_process_ends_when_its_parent_is_killed() -> None:
    program = (
        "import os, subprocess, sys; from benchmarks.measure.beside import LOOP;"
        "print(subprocess.Popen([sys.executable, '-c', LOOP], stdout=subprocess.DEVNULL).pid, flush=True);"
        "sys.stdin.read(1); os.kill(os.getpid(), 9)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin and parent.stdout
        pid = int(parent.stdout.readline())
        time.sleep(0.5)
        os.kill(pid, 0)  # it lives
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(pid, 9)
    pytest.fail("it went on without its parent")


def test_steps_are_timed_alone_and_beside_it_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    @contextmanager
    def note(*_: Any) -> Any:
        order.append("start")
        yield {}, {}
        order.append("stop")

    monkeypatch.setattr(beside, "sides_of", lambda *_: note())
    monkeypatch.setattr(beside, "busy_process", note)
    monkeypatch.setattr(beside, "time_in_turn", lambda *_: order.append("time") or {"seconds": {"ours": [1.0]}})
    row = beside.time_beside("mnist_gan", CASES["mnist_gan"], Settings())
    assert row == {"case": "mnist_gan", "alone": {"ours": [1.0] * 2}, "beside": {"ours": [1.0] * 2}}
    assert order == ["start", *["time", "start", "time", "stop"] * beside.TURNS, "stop"]
