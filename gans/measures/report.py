"""The report of an evaluation: a table as Markdown, all values as JSON, and a picture with a panel for each measure."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gans.data.errors import printable
from gans.measures import within_classes
from gans.measures.evaluation import DESCRIPTIONS, SHARES, Sample
from gans.output import new_figure
from minigrad.io.files import write_atomically

DIGITS = {"modes": 1, "KL": 3}  # after the decimal point
FLOOR = "real images (the floor)"
Results = dict[str, list[Sample]]  # for each run, its samples of the seeds


def ranked(results: Results) -> Results:
    """The runs sorted by their first measure, the Frechet distance: the best one first."""
    first = next(iter(next(iter(results.values()))[0].measures))
    return dict(sorted(results.items(), key=lambda run: np.mean(values(run[1], first))))


def values(samples: Sequence[Sample], measure: str) -> list[float]:
    return [sample.measures[measure] for sample in samples]


def write_report(stem: Path, about: Mapping[str, str], floor: list[Sample], results: Results, pictures: str = "") -> str:
    """Write stem.md, stem.json and stem.png, and return the Markdown. `about` says in sentences what was compared."""
    ranking = ranked(results)
    everything = {FLOOR: floor, **ranking}
    measures = list(floor[0].measures)
    used = [f"- **{name}**: {text}." for name, text in DESCRIPTIONS.items() if name in measures]
    parts = [
        table(everything),
        "\n".join(about.values()),
        "\n".join(used),
        _classes(everything),
        *_within(everything),
        pictures,
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    write_atomically(stem.with_suffix(".md"), text.encode(errors="backslashreplace"))
    numbers = {name: _numbers(samples) for name, samples in everything.items()}
    write_atomically(stem.with_suffix(".json"), (json.dumps({**about, "results": numbers}, indent=2) + "\n").encode())
    write_atomically(stem.with_suffix(".png"), _picture(floor, ranking))
    return text


def table(everything: Results) -> str:
    """A Markdown table with a row for each set of samples: means and standard deviations over the seeds."""
    measures = list(next(iter(everything.values()))[0].measures)
    lines = [f"| | {' | '.join(measures)} |", f"| --- {'| --: ' * len(measures)}|"]
    for name, samples in everything.items():
        lines.append(f"| {_cell(name)} | {' | '.join(_shown(measure, values(samples, measure)) for measure in measures)} |")
    return "\n".join(lines)


def _cell(name: str) -> str:
    """A run's name, in which everything is allowed, in a table."""
    return printable(name).replace("|", r"\|")


def _shown(measure: str, values: Sequence[float]) -> str:
    scale, unit = _scale(measure)
    digits = 1 if unit else DIGITS.get(measure, 2)
    return f"{scale * np.mean(values):.{digits}f} ± {scale * np.std(values, ddof=1):.{digits}f}{unit}"


def _scale(measure: str) -> tuple[int, str]:
    """The factor and the unit with which a measure is shown."""
    return (100, " %") if measure in SHARES else (1, "")


def _classes(everything: Results) -> str:
    """A Markdown table of the share of each class, in percent; empty where the classes are unknown."""
    shares = {name: [s.classes for s in samples if s.classes is not None] for name, samples in everything.items()}
    if not all(shares.values()):
        return ""
    count = len(shares[FLOOR][0])
    lines = [f"| share of class, % | {' | '.join(map(str, range(count)))} |", f"| --- {'| --: ' * count}|"]
    lines += [f"| {_cell(name)} | {' | '.join(f'{100 * x:.1f}' for x in np.mean(each, 0))} |" for name, each in shares.items()]
    return "\n".join(lines)


def _within(everything: Results) -> list[str]:
    """For each measure within classes a Markdown table, in percent, and its description; none if no run has labels."""
    rows = {name: [sample.within for sample in samples] for name, samples in everything.items() if samples[0].within}
    parts = []
    for measure, description in within_classes.DESCRIPTIONS.items() if rows else ():
        means = {name: 100 * np.mean([within[measure] for within in each], 0) for name, each in rows.items()}
        lines = [f"| {measure}, % | mean | {' | '.join(map(str, range(len(means[FLOOR]))))} |"]
        lines.append(f"| --- | --: {'| --: ' * len(means[FLOOR])}|")
        lines += [f"| {_cell(name)} | {' | '.join(map(_percent, (row.mean(), *row)))} |" for name, row in means.items()]
        parts += ["\n".join(lines), f"- **{measure}**: {description}."]
    return parts


def _percent(x: float) -> str:
    return "-" if np.isnan(x) else f"{x:.1f}"


def _numbers(samples: Sequence[Sample]) -> dict[str, Any]:
    """For each measure its values, one for each seed."""
    numbers: dict[str, Any] = {m: values(samples, m) for m in samples[0].measures}
    classes = [s.classes.tolist() for s in samples if s.classes is not None]
    within = {m: [[None if np.isnan(x) else float(x) for x in s.within[m]] for s in samples] for m in samples[0].within}
    return {**numbers, **({"classes": classes} if classes else {}), **within}


def _short(name: str, most: int = 30) -> str:
    """The end of a long path."""
    name = printable(name)
    return name if len(name) <= most else "..." + name[3 - most :]


def _picture(floor: Sequence[Sample], ranking: Results) -> bytes:
    """A PNG file: for each measure, a bar for each run, its standard deviation, and the floor as a dashed line."""
    measures = list(floor[0].measures)
    down = -(-len(measures) // 2)
    figure = new_figure(11, down * (1 + 0.35 * len(ranking)))
    names = [_short(name) for name in ranking]
    for i, measure in enumerate(measures, 1):
        scale, unit = _scale(measure)
        axes = figure.add_subplot(down, 2, i)
        of_runs = [scale * np.array(values(samples, measure)) for samples in ranking.values()]
        means, deviations = [v.mean() for v in of_runs], [v.std(ddof=1) for v in of_runs]
        axes.barh(range(len(names)), means, xerr=deviations, tick_label=names, color="tab:blue")
        line = axes.axvline(scale * float(np.mean(values(floor, measure))), color="black", linestyle="--")
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.invert_yaxis()
        axes.set_title(f"{measure},{unit}" if unit else measure)
        if measure.endswith("FD"):  # from the floor to a bad run is a factor of a thousand
            axes.set_xscale("log")
        else:
            axes.set_xlim(left=0)
    figure.legend([line], [FLOOR], loc="lower right")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter of a run's name that the font lacks
        figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
