"""From the graph to its boxes and edges, and from these to files."""

from __future__ import annotations

import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from minigrad.drawing.boxes import KINDS, Box, Edge
from minigrad.drawing.layout import graphviz_layout, layered
from minigrad.drawing.svg import svg
from minigrad.engine import Node, Op, ancestors
from minigrad.io.files import write_atomically
from minigrad.nn.module import Module
from minigrad.tensor import Shape, Tensor

Names = Module | Mapping[str, Tensor | Module]

MOST = 1000  # boxes in an SVG
MOST_FOR_GRAPHVIZ = 150  # it may take minutes for more
WIDTH = 42  # characters in a line of a formula
STYLES = {"flow": "solid", "fixed": "solid", "cut": "dashed", "flat": "dotted"}  # of edges


@dataclass
class Drawing:
    """A graph as boxes, in the order in which they were computed, and edges between them."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def save(self, path: str | Path) -> None:
        """Write the drawing, as its suffix says: .svg or .dot. FileError if it cannot be written."""
        suffix = Path(path).suffix
        if suffix not in (".svg", ".dot"):
            raise ValueError(f"a drawing is saved as .svg or .dot, not as {str(path)!r}; other programs convert these")
        write_atomically(path, (self.svg if suffix == ".svg" else self.dot).encode())

    @cached_property
    def dot(self) -> str:
        """The graph in Graphviz's language."""
        lines = ["digraph minigrad {", "nslimit=1"]  # or 100 ops that share a weight take half a minute
        lines.append('node [shape=box, style="filled,rounded", fontname=monospace, fontsize=11]')
        lines.append("edge [fontname=monospace, fontsize=9]")
        for i, box in enumerate(self.boxes):
            _, fill, stroke, *_ = KINDS[box.kind]
            size = f"width={box.width / 72:.3f}, height={box.height / 72:.3f}, penwidth={1 + box.is_output}"
            text = f"label={_quoted(box.lines)}, tooltip={_quoted(box.tooltip.splitlines())}"
            lines.append(f'n{i} [{text}, {size}, fillcolor="{fill}", color="{stroke}"]')
        for e in self.edges:
            lines.append(f"n{e.tail} -> n{e.head} [headlabel={_quoted([e.label])}, style={STYLES[e.kind]}, class={e.kind}]")
        return "\n".join([*lines, "}\n"])

    @cached_property
    def svg(self) -> str:
        """The picture; ValueError if the graph has more than 1,000 boxes."""
        if len(self.boxes) > MOST:
            raise ValueError(
                f"{self!r} is too large for a picture, which shows up to {MOST:,} boxes. Draw a smaller part, for example one "
                "layer or one time step; or save it as .dot for a program that shows large graphs"
            )
        layout = graphviz_layout(self.dot, len(self.boxes), self.edges) if len(self.boxes) <= MOST_FOR_GRAPHVIZ else None
        return svg(repr(self)[1:-1], self.boxes, self.edges, layout or layered([b.size for b in self.boxes], self.edges))

    def _repr_svg_(self) -> str | None:
        """For notebooks, which show the text below if there is no picture."""
        return self.svg if len(self.boxes) <= MOST else None

    def __repr__(self) -> str:
        counts = Counter(box.op for box in self.boxes if box.op)
        most = ", ".join(f"{count:,} {name}" for name, count in counts.most_common(5))
        more = ", ..." if len(counts) > 5 else ""
        return f"<drawing of {counts.total():,} ops ({most}{more}) and {len(self.boxes) - counts.total():,} other tensors>"


def draw(tensors: Tensor | Sequence[Tensor], names: Names | None = None) -> Drawing:
    """The graph of all ops that lead to these tensors.

    Parameters
    ----------
    tensors : one tensor or several
        Results, such as losses or gradients made with `create_graph=True`. Of several, one graph is drawn, in which detached
        values of one that another uses show as cuts; a value computed under `no_grad` is a constant like any other. Neither
        values nor the graph are changed, and nothing is copied.
    names : Module, or dictionary of tensors and modules
        What to call tensors. Parameters and buffers of a module get their dotted names, after the module's own and a dot.

    Returns
    -------
    Drawing, with `.svg`, `.dot` and `.save(path)`; a notebook shows it as a picture
    """
    outputs = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not outputs:
        raise ValueError("draw: there are no tensors to draw")
    if strange := [x for x in outputs if not isinstance(x, Tensor)]:
        raise TypeError(f"draw: {type(strange[0]).__name__} is not a tensor; give it a tensor or a sequence of tensors")
    return _Reader(outputs, dict(_named(names))).drawing


def _named(names: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    given = names._state() if isinstance(names, Module) else names or {}
    for name, value in given.items():
        if isinstance(value, Tensor):
            yield "".join(c if c.isprintable() else "?" for c in prefix + name), value
        elif isinstance(value, Module):
            yield from _named(value, f"{prefix}{name}.")
        else:
            raise TypeError(f"draw: names[{name!r}] is {type(value).__name__}; it must be a tensor or a module")


class _Reader:
    """Turns a graph into boxes and edges."""

    def __init__(self, outputs: list[Tensor], names: dict[str, Tensor]) -> None:
        self.drawing = Drawing()
        self.names: dict[Any, str] = {t.op or t: name for name, t in names.items()}
        self.tensors = {id(t.changes): t for t in names.values()}  # `changes` tells of a constant which tensor it is
        self.places: dict[Any, int] = {}  # number of the box of an op, a leaf or a constant
        ops = sorted(set().union(*(ancestors(t.op) for t in outputs)), key=lambda op: op.stamp)
        self.made: dict[Any, tuple[Shape, Any]] = {}  # shape and dtype: an op's are known to those that it feeds
        for op in ops:
            self.made |= zip(op.parents, zip(op.input_shapes, op.input_dtypes, strict=True), strict=True)
        self.made |= {t.op or t: (t.shape, t.dtype) for t in outputs}
        self.memory: dict[tuple[int, Shape], Node] = {}  # the newest node so far with these `changes` and this shape
        for op in ops:
            self._add_op(op)
        for t in outputs:
            self.drawing.boxes[self._leaf(t) if t.op is None else self.places[t.op]].is_output = True

    def _add_op(self, op: Op) -> None:
        rules = op.rules * len(op.parents) if op.variadic else op.rules
        incoming = []
        for i, parent in enumerate(op.parents):
            name = f"{op.input_names[0]}[{i}]" if op.variadic else op.input_names[i]
            if parent is not None:
                incoming.append((self.places[parent] if isinstance(parent, Op) else self._leaf(parent), name, "flow"))
            elif i in op.constants:
                key = id(op.constants[i]), op.input_shapes[i]
                source, tensor = self.memory.get(key), self.tensors.get(key[0])
                is_cut = source is not None or (tensor is not None and tensor.requires_grad)
                edge = "flat" if rules[i] is None else "cut" if is_cut else "fixed"
                place = self._constant(key, op.input_dtypes[i]) if source is None else self.places[source]
                incoming.append((place, name + {"flat": ": no derivative", "cut": ": detached"}.get(edge, ""), edge))
        kind = ("op", "backward", "higher")[min(op.order, 2)]
        self._add(op, kind, [*_formula(op), *_settings(op)], f"{op.name}: {inspect.getdoc(type(op)) or ''}")
        self.memory[id(op.out_changes), self.made[op][0]] = op
        self.drawing.edges += [Edge(tail, self.places[op], label, kind) for tail, label, kind in incoming]

    def _leaf(self, t: Tensor) -> int:
        if t not in self.places:
            self.made[t] = t.shape, t.dtype
            self._add(t, "parameter" if t.requires_grad else "constant", [], type(t).__name__)
            self.memory[id(t.changes), t.shape] = t
        return self.places[t]

    def _constant(self, key: tuple[int, Shape], dtype: Any) -> int:
        if key not in self.places:
            tensor = self.tensors.get(key[0])
            name = "constant" if tensor is None else self.names[tensor.op or tensor]
            self.made[key], self.names[key] = (key[1], dtype), name
            self._add(key, "constant", [], name)
        return self.places[key]

    def _add(self, node: Any, kind: str, text: list[str], tooltip: str) -> None:
        shape, dtype = self.made[node]
        op, name = node.name if isinstance(node, Op) else "", self.names.get(node, "")
        title = f"{name}: {op}" if name and op else name or op or tooltip
        self.places[node] = len(self.drawing.boxes)
        self.drawing.boxes.append(Box(kind, [title, *text, f"{shape} {dtype}"], tooltip, op))


def _formula(op: Op) -> list[str]:
    """What the op computes: the first sentence of its docstring, or, where that is long, what comes before its conditions."""
    paragraph = (inspect.getdoc(type(op)) or "").partition("\n\n")[0].replace("\n", " ")
    sentence = paragraph.partition("    ")[0].partition(". ")[0].removesuffix(".")
    return _wrapped(sentence if len(sentence) < 2 * WIDTH else sentence.partition(" for ")[0])


def _settings(op: Op) -> list[str]:
    """Plain values that the op was made with, and the Python numbers that it was applied to and kept."""
    settings = {name: value for name, value in vars(op).items() if name not in Op.__annotations__}
    settings |= {op.input_names[i]: value for i, value in (op.kept or {}).items() if i >= 0 and not op.variadic}
    plain = {name: x for name, x in settings.items() if isinstance(x, int | float | tuple) and x is not False}
    return _wrapped(", ".join(f"{name} = {value}" for name, value in plain.items()))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, max_lines=2, placeholder=" ...")


def _quoted(lines: Sequence[str]) -> str:
    """Text in DOT, which knows backslashes and HTML's entities; its lines are centred."""
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines) + '"'
