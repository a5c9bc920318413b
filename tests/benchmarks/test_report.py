"""Tables, report and chart show what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import chart, plots, report, tables

RESULT: dict[str, Any] = {
    "case": "mnist_gan",
    "batch_size": 128,
    "about": {"ours": "minigrad 7", "eager": "PyTorch 8"},
    "seconds": {"ours": [0.001, 0.002, 0.004], "eager": [0.003, 0.004, 0.004]},
    "memory": {"ours": {"resident": 100.0}, "eager": {"resident": 200.0, "gpu": 50.0}},
    "notes": {"ours": "", "eager": "except this"},
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
    "rates": {"minigrad": 8e9, "NumPy": 4e9, "PyTorch": 2e9},
    "results": [RESULT],
    "kernels": [{**KERNEL, "ours": 1e-6, "theirs": 2e-6}, {**KERNEL, "ours": 1e-6, "theirs": None}],
    "products": [
        {
            "shape": [100, 100, 100],
            "order": "rows x columns",
            "cases": {"mnist_gan": 2},
            "seconds": {
                "1": {"minigrad": 2e-6, "PyTorch": 4e-6, "NumPy": 1e-6},
                "2": {"minigrad": 1e-6, "PyTorch": 2e-6, "NumPy": 4e-6},
            },
        }
    ],
    "beside": [{"case": "mnist_gan", "alone": {"ours": [0.01, 0.02, 0.03]}, "beside": {"ours": [0.05, 0.05, 0.9]}}],
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


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    ours, eager = tables.summary(RESULT)
    assert ours["ratio"] == 1
    assert eager["ratio"] == 2  # of 3, 2 and 1; the ratio of the medians would be 2, of the minima 3
    assert (eager["min_ms"], eager["median_ms"]) == (3, 4)


def test_memory_is_that_of_the_gpu_where_there_is_one() -> None:
    assert [row["mib"] for row in tables.summary(RESULT)] == [100, 50]


def test_the_floor_uses_the_highest_rate_of_the_other_libraries() -> None:
    assert [row["of_floor"] for row in tables.summary(RESULT, rate=4e9)] == [0.25, 0.25 / 3]
    assert "| mnist_gan | minigrad | 1.00 | 2.00 | 1.00 | 25% | 100 |" in tables.steps(DATA)


def test_a_variant_that_could_not_run_has_a_row_with_the_reason() -> None:
    eager, compiled = rows_of(tables.steps(DATA))[1:]
    assert eager.startswith("| mnist_gan | PyTorch eager, except this | 3.00 |")
    assert compiled.startswith("| mnist_gan | PyTorch compiled | no C++ compiler |")


def test_kernels_have_ratios_and_rates_where_they_were_timed() -> None:
    both, one = rows_of(tables.kernels(DATA))
    assert both == "| conv2d | D.0 Conv2d forward | 1x2 | 1.0 | 2.0 | 2.00 | 4 | 2 | mnist_gan 3 |"
    assert one == "| conv2d | D.0 Conv2d forward | 1x2 | 1.0 |  |  | 4 |  | mnist_gan 3 |"


def test_a_product_is_compared_with_the_better_of_the_other_libraries() -> None:
    row = next(row for row in rows_of(tables.products(DATA)) if row.startswith("| 100x100x100"))
    assert row.split(" | ")[2:] == ["1000.0", "500.0", "2000.0", "0.50", "2000.0", "1000.0", "500.0", "2.00", "mnist_gan 2 |"]


def test_beside_a_busy_process_the_medians_are_divided() -> None:
    assert rows_of(tables.beside(DATA)) == ["| mnist_gan | minigrad | 20.00 | 50.00 | 2.50 |"]


def test_a_report_has_every_part_and_its_plots(tmp_path: Path) -> None:
    report.write(tmp_path, DATA)
    report.write_plots(tmp_path, DATA)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# minigrad compared with PyTorch\n\na machine\n\n- minigrad 7\n- PyTorch 8\n")
    for part in report.SECTIONS.values():
        assert f"## {part.title}\n" in text
        if part.plot:
            assert f"]({part.plot})" in text
            assert (tmp_path / part.plot).stat().st_size > 5000
    assert "Left out, because the time was over: start." in text
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["results"][0]["seconds"] == RESULT["seconds"]
    assert "calls" not in saved["results"][0]


def test_a_report_of_some_parts_has_only_those(tmp_path: Path) -> None:
    data = {"machine": "a machine", "rates": DATA["rates"], "unfinished": ["steps", "layers"]}
    report.write(tmp_path, data)
    report.write_plots(tmp_path, data)
    text = (tmp_path / "report.md").read_text()
    assert "## Arithmetic floor" in text
    assert "## Training steps" not in text
    assert "Unfinished: steps, layers." in text
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


def with_compiled() -> list[dict[str, Any]]:
    """Two cases, then the first one's compiled variant in rounds of its own."""
    compiled = {**RESULT, "seconds": {"ours": [0.002], "compiled": [0.003]}, "missing": {}}
    memory = {side: {"resident": 100.0} for side in ("ours", "eager", "compiled")}
    return [{**each, "memory": memory} for each in (RESULT, {**RESULT, "case": "other"}, compiled)]


def test_compiled_pytorch_follows_the_other_sides_of_its_case_and_has_its_own_rounds() -> None:
    rows = [row.split(" | ")[:5] for row in rows_of(tables.steps({"results": with_compiled()}))]
    assert [(row[0], row[1]) for row in rows] == [
        ("| mnist_gan", "minigrad"), ("| mnist_gan", "PyTorch eager, except this"), ("| mnist_gan", "PyTorch compiled"),
        ("| mnist_gan", "PyTorch compiled"), ("| other", "minigrad"), ("| other", "PyTorch eager, except this"),
        ("| other", "PyTorch compiled"),
    ]  # fmt: skip
    assert rows[0][2] == "1.00"  # ours is shown once, from the first rounds
    assert rows[3][2:] == ["3.00", "3.00", "1.50"]  # its ratio is to ours of the same rounds


def tuned(case: str, ratio: float) -> dict[str, Any]:
    seconds = {"ours": [0.001, 0.001], "eager": [1.0, 1.0], "tuned": [0.001 * ratio, 0.001 * ratio]}
    return {**RESULT, "case": case, "seconds": seconds, "memory": {side: {"resident": 1.0} for side in seconds}}


def test_the_chart_has_a_bar_for_each_case_as_long_as_the_speed_over_tuned_pytorch(tmp_path: Path) -> None:
    data = {"machine": "a machine", "results": [tuned("mnist_gan", 2.0), tuned("lsgan", 0.5)]}
    assert chart.speeds(data) == {"mnist_gan": pytest.approx(2.0), "lsgan": pytest.approx(0.5)}
    (axes,) = chart.chart([data]).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2.0, 0.5])
    assert not axes.figure.legends
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mnist_gan", "lsgan"]
    assert {text.get_text() for text in axes.texts} == {"2.00×", "0.50×"}
    (tmp_path / "results.json").write_text(json.dumps(data))
    chart.main([str(tmp_path / "results.json"), str(tmp_path / "chart.png")])
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_the_chart_of_two_machines_has_a_group_of_bars_for_each_and_for_jax() -> None:
    narrow, wide = ({"machine": "a machine", "isa": isa, "results": [tuned("lsgan", 2.0)]} for isa in ("avx2", "avx512"))
    narrow["results"][0]["seconds"]["jax"] = [0.004, 0.004]
    figure = chart.chart([narrow, wide])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2.0, 0.5, 2.0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["minigrad, AVX2", "JAX, AVX2", "minigrad, AVX-512"]


OTHER_FILES = [
    json.dumps({"machine": "a machine", "results": [RESULT]}), json.dumps({"results": [tuned("lsgan", 2.0)]}), "", "[]", "{",
    '{"results": 3}', '{"results": [{}]}', "[" * 100_000, "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("content", OTHER_FILES, ids=lambda content: repr(content[:20]))
def test_without_tuned_steps_there_is_no_chart(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(SystemExit, match="2"):
        chart.main([str(tmp_path / "results.json"), str(tmp_path / "chart.png")])
    assert "is no results.json with training steps of tuned PyTorch" in capsys.readouterr().err
    assert not (tmp_path / "chart.png").exists()


def test_the_plot_of_steps_has_a_bar_for_each_variant_of_each_case() -> None:
    (axes,) = plots.plot_steps({"results": with_compiled()}).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2.0, 1.5, 2.0])
