"""The hooks for captured steps: plain without a capture, and a capture belongs to its thread."""

from __future__ import annotations

import threading

import numpy as np

from minigrad.arrays import backend, hooks


class Noting(hooks.Eager):
    """A capture that only notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def refuse(self, reason: str) -> None:
        self.told.append(reason)


def test_without_a_capture_each_hook_does_the_plain_thing() -> None:
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


def test_a_capture_applies_to_its_own_thread_and_another_one_beside_it_to_its_own() -> None:
    mine, other = Noting(), Noting()
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
    assert (mine.told, other.told) == (["mine"], ["other"])
    assert not hooks.captures
