"""Results as Markdown tables, which are readable in a terminal as well."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.settings import OURS, side_name

Data = Mapping[str, Any]
OURS_IN_RATES = "minigrad"  # the name of our products


def floor_rate(data: Data) -> float:
    """The rate at which the arithmetic floor is computed: the best of the other libraries."""
    return max(rate for library, rate in data["rates"].items() if library != OURS_IN_RATES)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], texts: int = 1) -> str:
    """A table whose first `texts` columns are words, and the others numbers."""
    marks = ["---"] * texts + ["--:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, marks, *rows))


def by_case(rows: Sequence[Data]) -> list[Data]:
    """Rows or results sorted by case, in order of first appearance.

    (Compiled PyTorch is measured in rounds of its own.)
    """
    order = list(dict.fromkeys(row["case"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["case"]))


def summary(result: Data, rate: float | None = None) -> list[dict[str, Any]]:
    """A row for each side: minimal and median time of a step, its time divided by ours round by
    round, peak memory.

    With the machine's `rate`, in multiplications and additions per second, also the arithmetic
    floor divided by the time.
    """
    ours = result["seconds"][OURS]
    rows = []
    for side, times in result["seconds"].items():
        row = {
            "case": result["case"],
            "variant": side,
            "side": ", ".join(filter(None, (side_name(side), result["notes"].get(side)))),
            "min_ms": min(times) * 1e3,
            "median_ms": statistics.median(times) * 1e3,
            "ratio": statistics.median(theirs / mine for theirs, mine in zip(times, ours, strict=True)),
            "mib": result["memory"][side].get("gpu", result["memory"][side]["resident"]),
        }
        if rate:
            row["of_floor"] = result["flops"] / rate / min(times)
        rows.append(row)
    return rows


def steps(data: Data) -> str:
    """All sides of all cases. A case that was compared in several sets of rounds has our side's row from the first."""
    rate = floor_rate(data) if "rates" in data else None
    rows: list[list[str]] = []
    shown = set()
    for result in by_case(data["results"]):
        for row in summary(result, rate):
            if (row["case"], row["variant"]) in shown:
                continue
            shown.add((row["case"], row["variant"]))
            floor = f"{row['of_floor']:.0%}" if rate else ""
            numbers = [f"{row[key]:.2f}" for key in ("min_ms", "median_ms", "ratio")]
            rows.append([row["case"], row["side"], *numbers, floor, f"{row['mib']:.0f}"])
        for variant, reason in result["missing"].items():
            rows.append([result["case"], side_name(variant), reason, *[""] * 4])
    return table(["step of", "side", "min ms", "median ms", "time / minigrad's", "floor / min", "peak MiB"], rows, texts=2)


def floor(data: Data) -> str:
    """The rate of each library's matrix products."""
    best = floor_rate(data)
    rows = [[name, f"{rate / 1e9:.0f}", f"{rate / best:.2f}"] for name, rate in data["rates"].items()]
    return table(["product of large matrices by", "GFLOP/s", "of the floor's"], rows)


def arithmetic(data: Data) -> str:
    """The floor of each case's step."""
    best = floor_rate(data)
    rows = {r["case"]: [r["batch_size"], f"{r['flops'] / 1e9:.2f}", f"{r['flops'] / best * 1e3:.2f}"] for r in data["results"]}
    return table(["step of", "batch", "GFLOP", "floor ms"], [[case, *numbers] for case, numbers in rows.items()])


def kernels(data: Data) -> str:
    """Microseconds of each kernel call; of products also the rate of their arithmetic."""
    rows = []
    for row in data["kernels"]:
        cases = ", ".join(f"{case} {count}" for case, count in row["cases"].items())
        what = " ".join(filter(None, (row["layer"], row["task"])))
        rows.append([row["kernel"], what, row["shapes"], *_pair(row, row["flops"]), cases])
    head = ["kernel", "layer", "shapes", "minigrad us", "PyTorch us", "ratio", "minigrad GFLOP/s", "PyTorch GFLOP/s"]
    return table([*head, "calls in a step of"], rows, texts=3)


def _pair(row: Data, flops: int) -> list[str]:
    times = [row["ours"], row["theirs"]]
    ratio = f"{times[1] / times[0]:.2f}" if None not in times else ""
    speeds = [f"{flops / t / 1e9:.0f}" if flops and t else "" for t in times]
    return [*(f"{t * 1e6:.1f}" if t else "" for t in times), ratio, *speeds]


def products(data: Data) -> str:
    """GFLOP/s of each product, and ours divided by the better of the others; then a summary of these ratios."""
    threads = list(data["products"][0]["seconds"])
    libraries = list(data["products"][0]["seconds"][threads[0]])
    rows = []
    ratios: dict[tuple[str, str], list[float]] = {}
    for row in data["products"]:
        rates: list[str] = []
        for count, seconds in row["seconds"].items():
            ratio = min(t for library, t in seconds.items() if library != OURS_IN_RATES) / seconds[OURS_IN_RATES]
            ratios.setdefault((count, row["order"]), []).append(ratio)
            rates += [f"{2 * math.prod(row['shape']) / t / 1e9:.1f}" for t in seconds.values()] + [f"{ratio:.2f}"]
        cases = ", ".join(f"{case} {calls}" for case, calls in row["cases"].items())
        rows.append(["x".join(map(str, row["shape"])), row["order"], *rates, cases])
    columns = [f"{name}, {count}" for count in threads for name in (*libraries, "ratio")]
    whole = [
        [count, order, len(each), f"{statistics.median(each):.2f}", f"{min(each):.2f}", sum(r >= 0.95 for r in each)]
        for (count, order), each in sorted(ratios.items())
    ]
    head = ["threads", "operands by", "products", "median ratio", "lowest", "at 0.95 or more"]
    each_product = table(["product", "operands by", *columns, "calls in a step of"], rows, texts=2)
    return each_product + "\n\n" + table(head, whole, texts=2)


def overhead(data: Data) -> str:
    rows = [
        [row["operation"], *(f"{row[side][i]:.1f}" for i in (0, 1) for side in ("ours", "theirs"))] for row in data["overhead"]
    ]
    both = "forward + backward us"
    return table(["operation", "minigrad forward us", "PyTorch forward us", f"minigrad {both}", f"PyTorch {both}"], rows)


def beside(data: Data) -> str:
    rows = []
    for row in data["beside"]:
        for side, times in row["alone"].items():
            alone, busy = statistics.median(times), statistics.median(row["beside"][side])
            rows.append([row["case"], side_name(side), f"{alone * 1e3:.2f}", f"{busy * 1e3:.2f}", f"{busy / alone:.2f}"])
    return table(["step of", "side", "alone ms", "beside it ms", "factor"], rows, texts=2)


def sizes(data: Data) -> str:
    rows = []
    for row in data["sizes"]:
        if "missing" in row:
            numbers = [row["missing"], "", ""]
        else:
            numbers = [f"{row['ours'] * 1e3:.2f}", f"{row['tuned'] * 1e3:.2f}", f"{row['tuned'] / row['ours']:.2f}"]
        rows.append([row["series"], row["size"], *numbers])
    return table(["step", "size", "minigrad ms", "PyTorch tuned ms", "ratio"], rows)


def start(data: Data) -> str:
    imports = table(["import of", "seconds"], [[name, f"{s:.2f}"] for name, s in data["imports"].items()])
    rows = []
    for row in by_case(data["first_steps"]):
        times = [f"{row[key]:.1f}" if key in row else row.get("missing", "") for key in ("cold", "warm")]
        rows.append([row["case"], side_name(row["side"]), *times])
    return imports + "\n\n" + table(["first step of", "side", "cold s", "warm s"], rows, texts=2)
