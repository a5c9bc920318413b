"""The report: results.json, report.md and its plots, written anew after each part, so that nothing measured is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import plots, tables
from benchmarks.settings import PYTORCH
from benchmarks.tables import Data


class Section(NamedTuple):
    """A part of the report."""

    title: str
    needs: tuple[str, ...]  # names in the data; without them there is no such section
    text: Callable[[Data], str]
    says: str = ""
    plot: str = ""  # file name


SECTIONS = {
    "steps": Section(
        "Training steps", ("results",), tables.steps,
        "Least and median time of a step; PyTorch's time over minigrad's, the median of the pairs of turns; how much of the "
        "least time the step's arithmetic alone would take; the most memory, of the process or on the GPU.", "steps.png",
    ),
    "floor": Section(
        "Arithmetic floor", ("rates",), tables.floor,
        "The best of some large products by each library; the best of all is the machine's rate.",
    ),
    "arithmetic": Section(
        "Arithmetic of a step", ("rates", "results"), tables.arithmetic,
        "Multiplications and additions of all products in our step, counted while it ran, and how long they take at this rate.",
    ),
    "layers": Section(
        "Kernel by kernel", ("kernels",), tables.kernels,
        "Every different call in the steps above, alone. normalize_backward is all three gradients.",
    ),
    "overhead": Section(
        "Tiny tensors", ("overhead",), tables.overhead, "Microseconds an operation: next to nothing is computed.",
    ),
    "sizes": Section(
        "Cost against size", ("sizes",), tables.sizes, "Least time of a step.", "sizes.png",
    ),
    "start": Section(
        "Start", ("imports", "first_steps"), tables.start,
        "From the start of Python. Cold: with no compiled kernels on disk. Warm: the next time.",
    ),
}  # fmt: skip

UNSAVED = ("calls", "layers")  # of a result: which kernels ran, which the table of kernels tells
PLOTS = {"steps.png": plots.plot_steps, "sizes.png": plots.plot_sizes}


def section(name: str, data: Data) -> str:
    """A section as Markdown, without its plot."""
    part = SECTIONS[name]
    return "\n".join([f"## {part.title}", "", *([part.says, ""] if part.says else []), part.text(data), ""])


def steps_of_one(result: Data, data: Data) -> str:
    """A case's rows by themselves, with what its sides are."""
    return "\n".join([*dict.fromkeys(result["about"].values()), tables.steps({**data, "results": [result]}), ""])


def markdown(data: Data) -> str:
    """The whole report."""
    lines = ["# This engine beside PyTorch", "", data["machine"], ""]
    sides = {about: None for result in data.get("results", ()) for about in result["about"].values()}  # in order, once each
    lines += [f"- {about}" for about in sides]
    lines += ["", *(f"`{name}` is {what}." for name, what in PYTORCH.items()), ""]
    for name, text in data.get("checks", {}).items():
        lines += [f"## {name}", "", text, ""]
    for name, part in SECTIONS.items():
        if all(key in data for key in part.needs):
            lines.append(section(name, data))
            lines += [f"![{part.title}]({part.plot})", ""] if part.plot else []
    lines += [f"- failed: {each}" for each in data.get("failed", ())]
    if data.get("left_out"):
        lines += ["Left out, for time was up: " + ", ".join(data["left_out"]) + ".", ""]
    return "\n".join(lines)


def write(folder: Path, data: Mapping[str, Any]) -> None:
    """All files of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    results = [{key: value for key, value in result.items() if key not in UNSAVED} for result in data.get("results", ())]
    (folder / "results.json").write_text(json.dumps({**data, "results": results}, indent=1) + "\n")
    (folder / "report.md").write_text(markdown(data))
    for part in SECTIONS.values():
        if part.plot and all(key in data for key in part.needs):
            PLOTS[part.plot](folder / part.plot, data)
