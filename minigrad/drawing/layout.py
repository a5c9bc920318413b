"""Layout. Both ways return the centre of each box, and for each edge the 3 n + 1 points of its Bezier curve up to the arrow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate, pairwise

from minigrad.drawing.boxes import Edge

ARROW, LAYER_GAP, BOX_GAP = 8.0, 40.0, 18.0  # pixels
LONG = 40  # layers: longer edges may pass under boxes

Point = tuple[float, float]
Layout = tuple[list[Point], list[list[Point]]]


def graphviz_layout(dot: str, count: int, edges: Sequence[Edge]) -> Layout | None:
    """Graphviz's layout of `count` boxes, or None where it is not installed."""
    try:
        import graphviz

        plain = graphviz.Source(dot).pipe("plain", encoding="utf-8")
    except (ImportError, FileNotFoundError):
        return None
    lines = [line.split() for line in plain.splitlines()]
    top = float(lines[0][3])
    centres: dict[str, Point] = {}
    curves: dict[tuple[str, str], list[list[Point]]] = defaultdict(list)
    for kind, *words in lines:
        if kind == "node":
            centres[words[0]] = _points(words[1:3], top)[0]
        elif kind == "edge":
            curves[words[0], words[1]].append(_points(words[3 : 3 + 2 * int(words[2])], top))
    return [centres[f"n{i}"] for i in range(count)], [curves[f"n{e.tail}", f"n{e.head}"].pop(0) for e in edges]


def _points(words: list[str], top: float) -> list[Point]:
    """Inches from the bottom as pixels from the top."""
    return [(72 * float(x), 72 * (top - float(y))) for x, y in zip(words[::2], words[1::2], strict=True)]


def layered(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """A plain layout in layers, for boxes of these (width, height) numbered so that each edge leads to a larger number.

    The layer of a box is the longest path to it. An edge across layers gets a narrow place in each of them. Within layers,
    places are ordered, and then shifted, towards the mean of their neighbours, several times down and up.

    Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981).
    """
    layer = [0] * len(sizes)
    for e in sorted(edges, key=lambda e: e.tail):  # all edges into a box come before those out of it
        layer[e.head] = max(layer[e.head], layer[e.tail] + 1)
    first: dict[int, int] = {}
    for e in edges:
        first[e.tail] = min(layer[e.head], first.get(e.tail, layer[e.head]))
    for i in first.keys() - {e.head for e in edges}:  # leaves stand just above their first consumer
        layer[i] = first[i] - 1

    width = [w for w, _ in sizes]
    paths = []  # of each edge: the places it goes through
    for e in edges:
        between = range(layer[e.tail] + 1, layer[e.head]) if layer[e.head] - layer[e.tail] <= LONG else range(0)
        paths.append([e.tail, *range(len(width), len(width) + len(between)), e.head])
        layer += between
        width += [ARROW] * len(between)
    above, below = defaultdict(list), defaultdict(list)
    for tail, head in (pair for path in paths for pair in pairwise(path)):
        above[head].append(tail)
        below[tail].append(head)
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for i, number in enumerate(layer):
        rows[number].append(i)

    x = [0.0] * len(width)
    for row in rows:
        _put(x, row, [0.0] * len(row), width)
    for sweep in range(24):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            wanted = {i: sum(x[j] for j in near[i]) / len(near[i]) if near[i] else x[i] for i in row}
            if sweep < 12:
                row.sort(key=wanted.__getitem__)
            _put(x, row, [wanted[i] for i in row], width)
    height = [max(sizes[i][1] if i < len(sizes) else 0 for i in row) for row in rows]
    top = [t - h - LAYER_GAP for t, h in zip(accumulate(h + LAYER_GAP for h in height), height, strict=True)]
    centres = [(x[i], top[layer[i]] + height[layer[i]] / 2) for i in range(len(sizes))]
    entries = _entries(paths, x, width)
    curves = []
    for path, entry in zip(paths, entries, strict=True):
        (_, start), (_, end) = centres[path[0]], centres[path[-1]]
        curve = [(x[path[0]], start + sizes[path[0]][1] / 2)]
        for i, after in pairwise(path):
            _line(curve, top[layer[i]] + height[layer[i]])
            _bend(curve, (entry if after == path[-1] else x[after], top[layer[after]] - ARROW))
        _line(curve, end - sizes[path[-1]][1] / 2 - ARROW)
        curves.append(curve)
    return centres, curves


def _entries(paths: list[list[int]], x: list[float], width: list[float]) -> list[float]:
    """Where each edge enters its head: side by side, in the order of the places from which they come."""
    into = defaultdict(list)
    for k in sorted(range(len(paths)), key=lambda k: x[paths[k][-2]]):
        into[paths[k][-1]].append(k)
    share = {k: (i + 1) / (len(ks) + 1) - 0.5 for ks in into.values() for i, k in enumerate(ks)}
    return [x[path[-1]] + share[k] * width[path[-1]] for k, path in enumerate(paths)]


def _line(curve: list[Point], y: float) -> None:
    curve += [curve[-1], (curve[-1][0], y), (curve[-1][0], y)]


def _bend(curve: list[Point], end: Point) -> None:
    middle = (curve[-1][1] + end[1]) / 2
    curve += [(curve[-1][0], middle), (end[0], middle), end]


def _put(x: list[float], row: list[int], wanted: list[float], width: list[float]) -> None:
    """Set the x of a row's places, in this order and without overlaps, as near as possible to the wanted ones.

    Without the room that they take, the places must be increasing numbers: that is isotonic regression.
    """
    room = list(accumulate((width[i] + width[j]) / 2 + BOX_GAP for i, j in pairwise(row)))
    groups: list[list[float]] = []  # sum and count
    for want, offset in zip(wanted, [0.0, *room], strict=True):
        groups.append([want - offset, 1])
        while len(groups) > 1 and groups[-2][0] * groups[-1][1] > groups[-1][0] * groups[-2][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    places = [total / count for total, count in groups for _ in range(int(count))]
    for i, place, offset in zip(row, places, [0.0, *room], strict=True):
        x[i] = place + offset
