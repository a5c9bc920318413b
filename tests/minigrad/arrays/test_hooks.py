"""The hooks for captured steps: they run eagerly without a capture, and each capture belongs to one thread."""

from __future__ import annotations

import threading

import numpy as np

from minigrad.arrays import backend, hooks


class Collecting(hooks.Eager):
    """A capture that only collects the reasons for refusal."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def refuse(self, reason: str) -> None:
        self.reasons.append(reason)


def test_without_a_capture_each_hook_runs_eagerly() -> None:
    done: list[int] = []
    hooks.on_host(lambda: done.append(1))
    assert done == [1]
    x = np.ones(3)
    assert hooks.persistent(x) is x
    numbers = backend.from_host(lambda: (1, 2), 2, np.float32, like=x)
    assert numbers.tolist() == [1, 2] and numbers.dtype == np.float32
    counter = [0]
    hooks.count_change(counter)
    assert counter == [1]
    hooks.refuse("nothing is being captured")
    assert not hooks.capturing()


def test_captures_in_two_threads_do_not_affect_each_other() -> None:
    mine, other = Collecting(), Collecting()
    entered, leave = threading.Event(), threading.Event()

    def run() -> None:
        with hooks.executing(other):
            hooks.refuse("other")
            entered.set()
            leave.wait(60)

    with hooks.executing(mine):
        thread = threading.Thread(target=run)
        thread.start()
        entered.wait(60)
        assert hooks.current() is mine
        with hooks.executing(None):
            hooks.refuse("suspended")
            assert not hooks.capturing()
        hooks.refuse("mine")
        leave.set()
        thread.join()
        assert hooks.current() is mine
    assert (mine.reasons, other.reasons) == (["mine"], ["other"])
    assert not hooks.captures
