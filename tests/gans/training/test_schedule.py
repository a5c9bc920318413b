from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gans.training import schedule
from gans.training.schedule import Schedule, intervals

UNITS = {"": "epoch", "epoch": "epoch", "epochs": "epoch", "step": "step", "steps": "step", "s": "s"}


@given(st.lists(st.tuples(st.integers(1, 10**9), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4), st.booleans())
def test_a_list_of_intervals_is_read_as_written(parts: list[tuple[int, str]], spaces: bool) -> None:
    text = (", " if spaces else ",").join(f"{number}{unit}" for number, unit in parts)
    assert intervals(text) == [(number, UNITS[unit]) for number, unit in parts]


def test_minutes_are_seconds() -> None:
    assert intervals("5min") == [(300, "s")]


@pytest.mark.parametrize(
    "text",
    ["", ",", "0", "-1", "+1", "1.5", "1e3", "steps", "5 weeks", "1s;2s", "01", "²", "9" * 5000],
    ids=lambda text: text[:9],
)
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="500steps, 30s, 5min"):
        intervals(text)


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 60))
def test_epochs_and_steps_are_due_at_their_multiples(per_epoch: int, epochs: int, steps: int) -> None:
    both = Schedule(f"{epochs}epochs,{steps}steps", per_epoch)
    due = [step for step in range(200) if both.due(step)]
    assert due == sorted({*range(0, 200, epochs * per_epoch), *range(0, 200, steps)})


@given(st.integers(1, 500))
def test_early_ones_double_until_the_first_interval_ends(per_epoch: int) -> None:
    early = Schedule("1epoch", per_epoch, doubling_from=16)
    due = [step for step in range(1, 2 * per_epoch) if early.includes(step)]
    assert due == [step for step in (16, 32, 64, 128, 256) if step < per_epoch] + [per_epoch]


def test_seconds_count_from_the_last_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 100.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now

    monkeypatch.setattr(schedule, "time", Clock)
    every = Schedule("30s", 1000, doubling_from=16)
    for now, due in ((129.9, False), (130, True), (131, True)):
        Clock.now = now
        assert every.due(16) == due
        assert not every.includes(16), "with seconds alone, no step is special"
    every.restart()
    assert not every.due(1000)
    Clock.now = 161
    assert every.due(1001)
