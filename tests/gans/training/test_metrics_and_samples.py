"""metrics.csv keeps its rows in order through crashes and resuming; the GIF shows the samples in order."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gans.training import run_folder
from gans.training.run_folder import RunFolder
from minigrad import FileError
from tests.gans.training.conftest import METRICS, SETTINGS, sentence

# --- metrics


def test_metrics_are_read_in_order(started: RunFolder) -> None:
    for step in (10, 20, 25):
        started.metrics.append(step, {"d_loss": step / 4, "g_loss": 0.1})
    steps, curves = started.metrics.read()
    assert steps.tolist() == [10, 20, 25]
    assert {name: values.tolist() for name, values in curves.items()} == {"d_loss": [2.5, 5, 6.25], "g_loss": [0.1] * 3}
    assert started.metrics.path.read_bytes().splitlines()[0] == b"step,d_loss,g_loss"


def test_cut_deletes_the_rows_after_a_step_and_later_rows_are_appended(started: RunFolder) -> None:
    for step in (10, 20, 30):
        started.metrics.append(step, METRICS)
    whole = started.metrics.path.read_bytes()
    started.metrics.cut(20)
    assert started.metrics.read()[0].tolist() == [10, 20]
    started.metrics.append(30, METRICS)
    assert started.metrics.path.read_bytes() == whole


def test_cut_deletes_the_partial_row_of_an_interrupted_run(started: RunFolder) -> None:
    for step in (10, 20, 25):
        started.metrics.append(step, METRICS)
    started.metrics.cut(25)
    assert started.metrics.read()[0].tolist() == [10, 20]


def test_without_rows_there_are_no_curves(started: RunFolder) -> None:
    steps, curves = started.metrics.read()
    assert len(steps) == 0
    assert curves == {}
    started.metrics.cut(0)
    started.save_overview({})
    assert not started.losses.exists()
    assert not started.gif.exists()


def test_with_only_a_header_there_are_no_curves(started: RunFolder) -> None:
    started.metrics.append(10, METRICS)
    started.metrics.cut(5)
    assert started.metrics.path.read_bytes().splitlines() == [b"step,d_loss,g_loss"]
    steps, _ = started.metrics.read()
    assert len(steps) == 0
    started.save_overview({})
    assert not started.losses.exists()


def test_a_truncated_last_line_is_ignored_and_does_not_damage_the_next(started: RunFolder) -> None:
    started.metrics.append(10, {"d_loss": 1.25, "g_loss": 0.375})
    good = len(started.metrics.path.read_bytes())
    started.metrics.append(20, {"d_loss": 2.5, "g_loss": 0.625})
    whole = started.metrics.path.read_bytes()
    line_end = len(whole.rstrip())
    for length in range(good, line_end):
        started.metrics.path.write_bytes(whole[:length])
        steps, curves = started.metrics.read()
        assert (steps.tolist(), curves["g_loss"].tolist()) == ([10], [0.375]), whole[good:length]
        started.metrics.cut(20)  # what --resume does first
        started.metrics.append(30, {"d_loss": 3.0, "g_loss": 1.0})
        steps, curves = started.metrics.read()
        assert (steps.tolist(), curves["g_loss"].tolist()) == ([10, 30], [0.375, 1.0]), whole[good:length]


def test_a_truncated_header_is_rewritten(started: RunFolder) -> None:
    started.metrics.append(10, METRICS)
    header = started.metrics.path.read_bytes().splitlines()[0]
    for length in range(len(header) + 1):
        started.metrics.path.write_bytes(header[:length])
        started.metrics.cut(0)  # what --resume does first
        started.metrics.append(10, METRICS)
        steps, curves = started.metrics.read()
        assert (steps.tolist(), list(curves)) == ([10], list(METRICS)), header[:length]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x80\n", b"\0" * 64, b"step,d_loss,g_loss\n10,a,b\n", b"step,d_loss,g_loss\nx,1,2\n"]
)
def test_invalid_metrics_give_one_sentence_and_are_kept(started: RunFolder, content: bytes) -> None:
    started.metrics.path.write_bytes(content)
    for use in (started.metrics.read, lambda: started.metrics.cut(5)):
        try:
            use()
        except FileError as refused:
            complaint = sentence(refused)
            assert str(started.metrics.path) in complaint
            assert started.metrics.path.read_bytes() == content


# --- samples and the GIF of them


def test_a_damaged_sample_is_skipped_in_the_gif(started: RunFolder) -> None:
    for step in range(3):
        started.save_samples(step, np.full((8, 8, 3), 40 * step, np.uint8))
    started.sample_path(1).write_bytes(b"rubbish")
    started.save_overview({})
    with Image.open(started.gif) as gif:
        assert gif.n_frames == 2


def test_samples_are_listed_in_order(started: RunFolder) -> None:
    for step in (10, 2, 0, 1):
        started.save_samples(step, np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in started.sample_paths()] == [f"step-{i:06d}.png" for i in (0, 1, 2, 10)]


def test_samples_of_more_than_999999_steps_stay_in_order(started: RunFolder) -> None:
    steps = [9, 999_999, 1_000_000, 2_000_000, 10_000_000]
    for step in steps:
        started.save_samples(step, np.zeros((4, 4, 3), np.uint8))
    assert [int(path.stem.removeprefix("step-")) for path in started.sample_paths()] == steps
    started.cut_samples(999_999)
    assert [path.name for path in started.sample_paths()] == ["step-000009.png", "step-999999.png"]


@pytest.mark.parametrize("count", [0, 1, 59, 60, 61, 200])
def test_a_gif_has_at_most_so_many_frames_including_the_first_and_the_last(count: int) -> None:
    chosen = run_folder.evenly(range(count), 60)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 60)
    assert not count or (chosen[0], chosen[-1]) == (0, count - 1)


def test_large_grids_are_reduced_for_the_gif(folder: RunFolder) -> None:
    folder.start(SETTINGS)
    folder.save_samples(0, np.zeros((2066, 1550, 3), np.uint8))
    folder.save_overview({})
    with Image.open(folder.gif) as picture:
        assert picture.size == (750, 1000)
    with Image.open(folder.sample_paths()[0]) as picture:
        assert picture.size == (1550, 2066)
