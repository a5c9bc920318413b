"""A drawing as SVG. Its classes start with "mg-", because a notebook is one document with all its drawings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from minigrad.drawing.boxes import CHARACTER, KINDS, LINE, PADDING, Box, Edge
from minigrad.drawing.layout import ARROW, Layout, Point


def _colours(ink: str, paper: str, first: int) -> str:
    rules = [f".mg-paper {{fill: {paper}}} .mg-ink {{fill: {ink}}} .mg-flow {{stroke: {ink}; stroke-width: 1.4}}"]
    rules += [f".mg-{kind} {{fill: {c[first]}; stroke: {c[first + 1]}}}" for kind, c in KINDS.items()]
    return " ".join(rules)


STYLE = f"""<style>
.mg-ink {{font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; text-anchor: middle}}
.mg-title {{font-weight: bold}} .mg-small {{font-size: 9px; text-anchor: start}}
.mg-edge {{fill: none; stroke: #8b949e}} .mg-cut {{stroke: #e5484d; stroke-dasharray: 6 4}} .mg-flat {{stroke-dasharray: 1.5 3}}
{_colours("#1f2328", "#ffffff", 1)}
@media (prefers-color-scheme: dark) {{ {_colours("#e6edf3", "#0d1117", 3)} }}
</style>"""


def svg(title: str, boxes: Sequence[Box], edges: Sequence[Edge], layout: Layout) -> str:
    """The picture of boxes and edges at these places."""
    return "\n".join(_lines(title, boxes, edges, *layout))


def _lines(
    title: str, boxes: Sequence[Box], edges: Sequence[Edge], centres: list[Point], curves: list[list[Point]]
) -> Iterator[str]:
    spans = [(x - b.width / 2, x + b.width / 2, y + b.height / 2) for b, (x, y) in zip(boxes, centres, strict=True)]
    spans += [(x, x, y) for curve in curves for x, y in curve]
    legend = [(kind, text) for kind, (text, *_) in KINDS.items() if any(b.kind == kind for b in boxes)]
    key = sum(len(text) * CHARACTER + 34 for _, text in legend)
    left, right, bottom = min(s[0] for s in spans) - 16, max(s[1] for s in spans) + 16, max(s[2] for s in spans) + 16
    width, height = max(right - left, key), bottom + 44
    left -= (width - (right - left)) / 2
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="{left:.1f} -44 {width:.1f} {height:.1f}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{_text(title)}</title>'
    yield STYLE
    yield f'<rect class="mg-paper" x="{left:.1f}" y="-44" width="{width:.1f}" height="{height:.1f}"/>'
    for kind, text in legend:
        yield f'<rect class="mg-{kind}" x="{left + 12:.1f}" y="-34" width="12" height="12" rx="3"/>'
        yield f'<text class="mg-ink" style="text-anchor: start" x="{left + 29:.1f}" y="-24">{text}</text>'
        left += len(text) * CHARACTER + 34
    for edge, curve in zip(edges, curves, strict=True):
        yield from _arrow(edge, curve)
    for box, centre in zip(boxes, centres, strict=True):
        yield from _box(box, *centre)
    yield "</svg>"


def _arrow(edge: Edge, curve: list[Point]) -> Iterator[str]:
    start, *rest = (f"{x:.1f} {y:.1f}" for x, y in curve)
    yield f'<path class="mg-edge mg-{edge.kind}" d="M{start} C{" ".join(rest)}"/>'
    (x, y), (u, v) = curve[-1], next(p for p in reversed(curve) if p != curve[-1])
    dx, dy = (ARROW * d / math.dist((x, y), (u, v)) for d in (x - u, y - v))
    corners = (x + dx, y + dy), (x - dy / 3, y + dx / 3), (x + dy / 3, y - dx / 3)
    yield f'<path class="mg-ink" d="M{" ".join(f"{a:.1f} {b:.1f}" for a, b in corners)}Z"/>'
    yield f'<text class="mg-ink mg-small" x="{x + 4:.1f}" y="{y:.1f}">{_text(edge.label)}</text>'


def _box(box: Box, x: float, y: float) -> Iterator[str]:
    top, thick = y - box.height / 2, ' stroke-width="2.5"' if box.is_output else ""
    yield f"<g><title>{_text(box.tooltip)}</title>"
    yield (
        f'<rect class="mg-{box.kind}" x="{x - box.width / 2:.1f}" y="{top:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="5"{thick}/>'
    )
    for i, line in enumerate(box.lines):
        title = "" if i else " mg-title"
        yield f'<text class="mg-ink{title}" x="{x:.1f}" y="{top + PADDING + 8 + i * LINE:.1f}">{_text(line)}</text>'
    yield "</g>"


def _text(text: str) -> str:
    """Text in XML, which knows no control characters."""
    return escape("".join(c if c.isprintable() or c == "\n" else "?" for c in text))
