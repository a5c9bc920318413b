"""Tables and report: what they show follows from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import report, tables

RESULT: dict[str, Any] = {
    "case": "mnist_gan",
    "batch_size": 128,
    "about": {"ours": "minigrad 7", "eager": "PyTorch 8"},
    "seconds": {"ours": [0.001, 0.002, 0.004], "eager": [0.003, 0.004, 0.004]},
    "memory": {"ours": {"resident": 100.0}, "eager": {"resident": 200.0, "gpu": 50.0}},
    "notes": {"ours": "", "eager": "but for this"},
    "missing": {"compiled": "no C++ compiler"},
    "flops": 10**6,
    "calls": [],
    "layers": {},
    "rounds": 3,
    "steps": 1,
}
KERNEL = {
    "kernel": "conv2d",
    "layer": "D.0 Conv2d",
    "task": "forward",
    "shapes": "1x2",
    "flops": 4000,
    "cases": {"mnist_gan": 3},
}
DATA: dict[str, Any] = {
    "machine": "a machine",
    "rates": {"minigrad": 1e9, "NumPy": 4e9},
    "results": [RESULT],
    "kernels": [{**KERNEL, "ours": 1e-6, "theirs": 2e-6}, {**KERNEL, "ours": 1e-6, "theirs": None}],
    "overhead": [{"operation": "a + b", "ours": [1.0, 2.0], "theirs": [3.0, 4.0]}],
    "sizes": [
        {"series": "s", "size": 8, "ours": 0.001, "tuned": 0.002},
        {"series": "s", "size": 16, "missing": "out of memory"},
    ],
    "imports": {"minigrad": 0.1, "PyTorch": 1.5},
    "first_steps": [{"case": "mnist_gan", "side": "ours", "cold": 4.0, "warm": 0.5}],
    "left_out": ["start"],
}


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def test_the_ratio_is_the_median_of_ratios_pair_by_pair() -> None:
    ours, eager = tables.summary(RESULT)
    assert ours["ratio"] == 1
    assert eager["ratio"] == 2  # of 3, 2 and 1; the ratio of the medians would be 2, of the minima 3
    assert (eager["min_ms"], eager["median_ms"]) == (3, 4)


def test_memory_is_the_gpus_where_there_is_one() -> None:
    assert [row["mib"] for row in tables.summary(RESULT)] == [100, 50]


def test_the_floor_is_at_the_best_rate_of_all() -> None:
    assert [row["of_floor"] for row in tables.summary(RESULT, rate=4e9)] == [0.25, 0.25 / 3]
    assert "| mnist_gan | minigrad | 1.00 | 2.00 | 1.00 | 25% | 100 |" in tables.steps(DATA)


def test_a_variant_that_could_not_run_has_a_row_with_a_word() -> None:
    eager, compiled = rows_of(tables.steps(DATA))[1:]
    assert eager.startswith("| mnist_gan | PyTorch eager, but for this | 3.00 |")
    assert compiled.startswith("| mnist_gan | PyTorch compiled | no C++ compiler |")


def test_kernels_have_ratios_and_rates_where_both_sides_have_an_answer() -> None:
    both, one = rows_of(tables.kernels(DATA))
    assert both == "| conv2d | D.0 Conv2d forward | 1x2 | 1.0 | 2.0 | 2.00 | 4 | 2 | mnist_gan 3 |"
    assert one == "| conv2d | D.0 Conv2d forward | 1x2 | 1.0 |  |  | 4 |  | mnist_gan 3 |"


def test_a_report_has_every_part_and_its_plots(tmp_path: Path) -> None:
    report.write(tmp_path / "out", DATA)
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.startswith("# This engine beside PyTorch\n\na machine\n\n- minigrad 7\n- PyTorch 8\n")
    for part in report.SECTIONS.values():
        assert f"## {part.title}\n" in text
        if part.plot:
            assert f"]({part.plot})" in text
            assert (tmp_path / "out" / part.plot).stat().st_size > 5000
    assert "Left out, for time was up: start." in text
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert saved["results"][0]["seconds"] == RESULT["seconds"]
    assert "calls" not in saved["results"][0]


def test_a_report_of_some_parts_has_only_those(tmp_path: Path) -> None:
    report.write(tmp_path, {"machine": "a machine", "rates": DATA["rates"]})
    text = (tmp_path / "report.md").read_text()
    assert "## Arithmetic floor" in text
    assert "## Training steps" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.md", "results.json"]


def test_each_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for name in report.SECTIONS:
        cells = 0
        for line in report.section(name, DATA).splitlines():
            if line.startswith("|"):
                cells = cells or line.count("|")
                assert line.count("|") == cells, line
            else:
                cells = 0
