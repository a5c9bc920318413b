"""The report: results.json, report.md and its plots.

Files are replaced atomically, again and again during a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import plots, tables
from benchmarks.report.tables import Data
from benchmarks.settings import PYTORCH


class Section(NamedTuple):
    """A section of the report."""

    title: str
    needs: tuple[str, ...]  # keys of the results; without them the section is left out
    text: Callable[[Data], str]
    says: str = ""
    plot: str = ""  # file name


SECTIONS = {
    "steps": Section(
        "Training steps", ("results",), tables.steps,
        "Minimal and median time of a step; that side's time divided by minigrad's (the median over the rounds); the time of "
        "the step's arithmetic alone (the floor) divided by the minimal time; peak memory, of the process or on the GPU.",
        "steps.png",
    ),
    "floor": Section(
        "Arithmetic floor", ("rates",), tables.floor,
        "The best rate of each library in large matrix products; the highest of NumPy's and PyTorch's is the machine's rate.",
    ),
    "arithmetic": Section(
        "Arithmetic of a step", ("rates", "results"), tables.arithmetic,
        "Multiplications and additions of all products in our step, counted in a run, and their time at the machine's rate.",
    ),
    "products": Section(
        "Matrix products", ("products",), tables.products,
        "GFLOP/s of the products of (m, k) and (k, n) in the steps, with each number of threads, and our rate divided by the "
        "better of the others.",
    ),
    "layers": Section(
        "Kernel by kernel", ("kernels",), tables.kernels,
        "Every distinct call in the steps above, timed alone. normalize_backward computes all three gradients.",
    ),
    "overhead": Section(
        "Overhead", ("overhead",), tables.overhead, "Microseconds of an operation on tensors of a few numbers.",
    ),
    "beside": Section(
        "Beside a busy process", ("beside",), tables.beside,
        "Median time of a step alone, and while another process runs a plain loop; the second divided by the first.",
    ),
    "sizes": Section(
        "Cost against size", ("sizes",), tables.sizes, "Minimal time of a step.", "sizes.png",
    ),
    "start": Section(
        "Start", ("imports", "first_steps"), tables.start,
        "Seconds from the start of Python. Cold: without compiled kernels on disk. Warm: the next start.",
    ),
}  # fmt: skip

UNSAVED = ("calls", "layers")  # of a result: which kernels ran, which the table of kernels shows
PLOTS = {"steps.png": plots.plot_steps, "sizes.png": plots.plot_sizes}


def section(name: str, data: Data) -> str:
    """A section as Markdown, without its plot."""
    part = SECTIONS[name]
    return "\n".join([f"## {part.title}", "", *([part.says, ""] if part.says else []), part.text(data), ""])


def steps_of_one(result: Data, data: Data) -> str:
    """The rows of one case, with the versions and settings of its sides."""
    return "\n".join([*dict.fromkeys(result["about"].values()), tables.steps({**data, "results": [result]}), ""])


def is_complete(part: Section, data: Data) -> bool:
    return all(key in data for key in part.needs)


def markdown(data: Data) -> str:
    """The whole report."""
    lines = ["# minigrad compared with PyTorch", "", data["machine"], ""]
    sides = {about: None for result in data.get("results", ()) for about in result["about"].values()}  # in order, once each
    lines += [f"- {about}" for about in sides]
    lines += ["", *(f"`{name}` is {what}." for name, what in PYTORCH.items()), ""]
    for name, part in SECTIONS.items():
        if is_complete(part, data):
            lines.append(section(name, data))
            lines += [f"![{part.title}]({part.plot})", ""] if part.plot else []
    lines += [f"- failed: {each}" for each in data.get("failed", ())]
    if data.get("left_out"):
        lines += ["Left out, because the time was over: " + ", ".join(data["left_out"]) + ".", ""]
    if data.get("unfinished"):
        lines += ["Unfinished: " + ", ".join(data["unfinished"]) + ".", ""]
    return "\n".join(lines)


def write(folder: Path, data: Mapping[str, Any]) -> None:
    """Write results.json and report.md."""
    from minigrad.io.files import write_atomically

    results = [{key: value for key, value in result.items() if key not in UNSAVED} for result in data.get("results", ())]
    write_atomically(folder / "results.json", (json.dumps({**data, "results": results}, indent=1) + "\n").encode())
    write_atomically(folder / "report.md", markdown(data).encode())


def write_plots(folder: Path, data: Mapping[str, Any]) -> None:
    """Write the plots of those sections that have their data."""
    from minigrad.io.files import write_atomically

    for part in SECTIONS.values():
        if part.plot and is_complete(part, data):
            write_atomically(folder / part.plot, plots.png(PLOTS[part.plot](data)))
