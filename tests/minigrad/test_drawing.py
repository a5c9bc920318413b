"""`mg.draw` shows every op once, with its formula, names, cuts and backward passes, as well-formed SVG and DOT."""

from __future__ import annotations

import re
import shutil
import sys
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.drawing import Drawing
from minigrad.drawing.boxes import Edge
from minigrad.drawing.layout import ARROW, layered
from minigrad.engine import ancestors
from tests.minigrad.conftest import leaf

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def no_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)


def texts(drawing: Drawing) -> list[str]:
    """The titles of the boxes in the SVG."""
    found = ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")
    return [t.text or "" for t in found if "mg-title" in t.get("class", "")]


def edges(drawing: Drawing) -> set[tuple[str, str, str, str]]:
    """Tail, head, label and kind."""
    return {(drawing.boxes[e.tail].lines[0], drawing.boxes[e.head].lines[0], e.label, e.kind) for e in drawing.edges}


def random_graph(choices: list[tuple[int, int, int]]) -> mg.Tensor:
    values = [leaf(1.0), leaf(2.0)]
    for kind, i, j in choices:
        x, y = values[-1 - i % len(values)], values[-1 - j % len(values)]
        values.append((x * y, x + y, F.tanh(x), x * 2.0)[kind])
    return values[-1]


class TestContents:
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
    def test_every_op_that_leads_to_the_output_appears_exactly_once(self, choices: list[tuple[int, int, int]]) -> None:
        out = random_graph(choices)
        drawing = mg.draw(out)
        ops = sorted(op.name for op in ancestors(out.op))
        assert sorted(box.op for box in drawing.boxes if box.op) == ops
        assert sorted(text for text in texts(drawing) if text != "Tensor") == ops
        assert len(drawing.edges) == sum(parent is not None for op in ancestors(out.op) for parent in op.parents)
        assert all(e.tail < e.head for e in drawing.edges)

    def test_a_box_has_the_formula_the_settings_and_the_shape(self) -> None:
        x = mg.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
        power, slope = mg.draw(F.leaky_relu(x**3.0, 0.2)).boxes[1:]
        assert power.lines == ["Pow", "x ** y", "y = 3.0", "(2, 3) float32"]
        assert slope.lines == ["LeakyReLU", "x where x > 0, else slope * x", "slope = 0.2", "(2, 3) float32"]
        assert "The derivative is 1 or slope" in slope.tooltip
        assert slope.is_output and not power.is_output

    def test_tensors_have_names_of_modules_and_of_the_dictionary(self) -> None:
        net, x = nn.Linear(3, 1), mg.Tensor(np.ones((2, 3), np.float32))
        y = net(x)
        named = mg.draw(y.mean(), names={"D": net, "x": x, "y": y})
        assert texts(named) == ["x", "D.weight", "D.bias", "y: Linear", "Mean"]
        assert texts(mg.draw(y.mean(), names=net)) == ["constant", "weight", "bias", "Linear", "Mean"]

    def test_a_constant_that_is_used_twice_is_one_box(self) -> None:
        x, c = leaf(1.0), mg.Tensor(np.array([2.0]))
        assert texts(mg.draw(x * c + c)) == ["Tensor", "constant", "Mul", "Add"]

    def test_detached_values_show_as_cuts(self) -> None:
        x, w = leaf(1.0), leaf(2.0)
        fake = F.tanh(x)
        d_loss, g_loss = w * fake.detach(), w + fake
        cut = ("fake: Tanh", "Mul", "y: detached", "cut")
        assert cut in edges(mg.draw([d_loss, g_loss], names={"fake": fake}))
        assert ("fake", "Mul", "y: detached", "cut") in edges(mg.draw(d_loss, names={"fake": fake}))
        assert ("w", "Mul", "y: detached", "cut") in edges(mg.draw(w * w.detach(), names={"w": w}))
        assert ("constant", "Mul", "y", "fixed") in edges(mg.draw(d_loss))

    def test_values_computed_under_no_grad_are_constants(self) -> None:
        x, w = leaf(1.0), leaf(2.0)
        with mg.no_grad():
            fake = F.tanh(x)
        assert edges(mg.draw(w * fake, names={"fake": fake})) == {("Tensor", "Mul", "x", "flow"), ("fake", "Mul", "y", "fixed")}

    def test_ops_of_backward_passes_are_marked_with_their_order(self) -> None:
        x = leaf(2.0)
        y = F.tanh(x)
        (first,) = mg.grad(y, [x], create_graph=True)
        (second,) = mg.grad(first * first, [x], create_graph=True)
        kinds = {(box.op, box.kind) for box in mg.draw(second).boxes if box.op}
        assert ("Tanh", "op") in kinds and ("TanhBackward", "backward") in kinds and ("TanhBackward", "higher") in kinds
        assert {kind for op, kind in kinds if op == "Tanh"} == {"op"}
        assert "op of a backward of a backward" in mg.draw(second).svg
        assert "op of a backward" not in mg.draw(y).svg
        assert [box.kind for box in mg.draw(x * x).boxes] == ["parameter", "op"]  # applied after the walks

    def test_inputs_without_a_derivative_show_as_such(self) -> None:
        x = leaf(2.0)
        y = F.leaky_relu(x, 0.2)
        (slope,) = mg.grad(y * y, [x], create_graph=True)
        assert ("LeakyReLU", "LeakyReLUBackward", "y: no derivative", "flat") in edges(mg.draw(slope))

    def test_a_graph_that_backward_has_freed_can_be_drawn(self) -> None:
        x = leaf(2.0)
        loss = F.tanh(x) * 3.0
        mg.grad(loss, [x])
        assert texts(mg.draw(loss)) == ["Tensor", "Tanh", "Mul"]

    def test_tensors_that_no_op_made_are_single_boxes(self) -> None:
        assert [box.kind for box in mg.draw([leaf(1.0), mg.Tensor([1.0])]).boxes] == ["parameter", "constant"]

    def test_variadic_ops_number_their_inputs(self) -> None:
        x = leaf(1.0)
        assert {label for _, _, label, _ in edges(mg.draw(F.cat([x, x])))} == {"xs[0]", "xs[1]"}


class TestFiles:
    def test_names_are_escaped(self) -> None:
        x, strange = leaf(1.0), 'a"b\\n<i>&amp;\x00\n]]>'
        drawing = mg.draw(F.exp(x), names={strange: x})
        assert texts(drawing)[0] == 'a"b\\n<i>&amp;??]]>'
        assert r'label="a\"b\\n<i>&amp;amp;??]]>\n(1,) float64"' in drawing.dot

    def test_the_dot_has_each_box_and_edge(self) -> None:
        x = leaf(1.0)
        drawing = mg.draw(x * x + x)
        assert re.findall(r"^(n\d) \[", drawing.dot, re.M) == ["n0", "n1", "n2"]
        assert re.findall(r"^(n\d -> n\d) \[", drawing.dot, re.M) == ["n0 -> n1", "n0 -> n1", "n1 -> n2", "n0 -> n2"]

    def test_save_writes_what_the_suffix_says(self, tmp_path: Path) -> None:
        drawing = mg.draw(F.exp(leaf(1.0)))
        drawing.save(tmp_path / "graph.svg")
        drawing.save(str(tmp_path / "graph.dot"))
        assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == drawing.svg
        assert (tmp_path / "graph.dot").read_text(encoding="utf-8") == drawing.dot
        with pytest.raises(ValueError, match=r"saved as \.svg or \.dot, not as '.*graph.png'"):
            drawing.save(str(tmp_path / "graph.png"))

    def test_no_values_are_read_so_that_a_gpu_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = leaf(1.0)
        y = F.exp(x * 2.0 + mg.Tensor([1.0]))
        monkeypatch.setattr(mg.Tensor, "data", property(lambda self: pytest.fail("an array was read")))
        assert mg.draw(y, names={"x": x, "y": y}).svg

    def test_a_notebook_shows_the_picture(self) -> None:
        drawing = mg.draw(F.exp(leaf(1.0)))
        assert drawing._repr_svg_() == drawing.svg
        assert repr(drawing) == "<drawing of 1 ops (1 Exp) and 1 other tensors>"

    def test_the_colours_follow_the_readers_preference(self) -> None:
        assert "prefers-color-scheme: dark" in mg.draw(leaf(1.0)).svg

    def test_a_graph_too_large_for_a_picture_is_summarised(self) -> None:
        x = leaf(1.0)
        for _ in range(5000):
            x = F.tanh(x) + 1.0
        drawing = mg.draw(x)
        assert drawing._repr_svg_() is None
        assert repr(drawing) == "<drawing of 10,000 ops (5,000 Tanh, 5,000 Add) and 1 other tensors>"
        with pytest.raises(ValueError, match=r"10,000 ops .* is too large for a picture"):
            _ = drawing.svg
        assert drawing.dot.count("->") == 10_000

    def test_the_readmes_picture_is_what_its_code_draws(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = (ROOT / "README.md").read_text(encoding="utf-8")
        code = re.findall(r"<!-- drawing -->\n```python\n(.*?)```", page, re.S)[0]
        monkeypatch.chdir(tmp_path)
        exec(code, {})
        contents = [
            [(x.tag, x.text, x.get("class")) for x in ElementTree.parse(path).iter()]
            for path in (tmp_path / "penalty.svg", ROOT / "minigrad/drawing/penalty.svg")
        ]
        assert contents[0] == contents[1]

    def test_what_is_no_tensor_is_refused(self) -> None:
        with pytest.raises(TypeError, match="int is not a tensor"):
            mg.draw([leaf(1.0), 3])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="no tensors"):
            mg.draw([])
        with pytest.raises(TypeError, match=r"names\['x'\] is int; it must be a tensor or a module"):
            mg.draw(leaf(1.0), names={"x": 3})  # type: ignore[dict-item]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[Edge]]:
    count = draw(st.integers(1, 14))
    sizes = draw(st.lists(st.tuples(st.floats(10, 300), st.floats(10, 90)), min_size=count, max_size=count))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    found = draw(st.lists(pairs, max_size=30)) if count > 1 else []
    return sizes, [Edge(tail, head, "x", "flow") for tail, head in sorted(found, key=lambda p: p[1])]


class TestLayout:
    @given(graphs())
    def test_boxes_do_not_overlap_and_data_flows_downwards(self, graph: tuple[list[tuple[float, float]], list[Edge]]) -> None:
        sizes, found = graph
        centres, curves = layered(sizes, found)
        places = list(zip(centres, sizes, strict=True))
        for ((x, y), (w, h)), ((u, v), (a, b)) in combinations(places, 2):
            assert abs(x - u) >= (w + a) / 2 or abs(y - v) >= (h + b) / 2
        for edge, curve in zip(found, curves, strict=True):
            (x, y), (w, h), (u, v), (a, b) = centres[edge.tail], sizes[edge.tail], centres[edge.head], sizes[edge.head]
            assert len(curve) % 3 == 1
            assert curve[0] == (x, pytest.approx(y + h / 2))
            assert curve[-1][1] == pytest.approx(v - b / 2 - ARROW) and abs(curve[-1][0] - u) < a / 2
            assert all(below[1] >= above[1] - 1e-6 for above, below in pairwise(curve))

    @given(graphs())
    def test_edges_pass_beside_the_boxes_of_other_layers(self, graph: tuple[list[tuple[float, float]], list[Edge]]) -> None:
        sizes, found = graph
        centres, curves = layered(sizes, found)
        for edge, curve in zip(found, curves, strict=True):
            for i, ((x, y), (w, h)) in enumerate(zip(centres, sizes, strict=True)):
                if i not in (edge.tail, edge.head):
                    assert not any(abs(u - x) < w / 2 and abs(v - y) < h / 2 for u, v in curve)

    def test_large_graphs_take_the_plain_layout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Graphviz would take minutes."""

        class Source:
            def __init__(self, dot: str) -> None:
                raise AssertionError("Graphviz was asked")

        monkeypatch.setitem(sys.modules, "graphviz", type("graphviz", (), {"Source": Source}))
        x, w = leaf(1.0), leaf(1.0)
        for _ in range(200):
            x = x * w
        assert len(texts(mg.draw(x))) == 202

    def test_equal_layouts_come_of_equal_graphs(self) -> None:
        assert mg.draw(random_graph([(0, 0, 1), (1, 0, 2)])).svg == mg.draw(random_graph([(0, 0, 1), (1, 0, 2)])).svg


class TestGraphviz:
    """Its `plain` format: places in inches, from the bottom."""

    def test_its_places_are_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Source:
            def __init__(self, dot: str) -> None:
                assert dot.startswith("digraph")

            def pipe(self, form: str, encoding: str) -> str:
                assert form == "plain" and encoding == "utf-8"
                nodes = 'node n0 1 2 1 0.5 "a\\nb" filled box "#fff" x\nnode n1 1 0.5 1 0.5 "c" filled box "#fff" x\n'
                return f"graph 1 2 2.5\n{nodes}edge n0 n1 4 1 1.75 1 1.5 1 1.25 1 1 solid black\nstop\n"

        monkeypatch.setitem(sys.modules, "graphviz", type("graphviz", (), {"Source": Source}))
        root = ElementTree.fromstring(mg.draw(F.exp(leaf(1.0))).svg)
        assert "M72.0 54.0 C72.0 72.0 72.0 90.0 72.0 108.0" in {path.get("d") for path in root.iter(f"{SVG}path")}

    def test_without_its_program_the_plain_layout_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Source:
            def __init__(self, dot: str) -> None:
                raise FileNotFoundError("dot")

        drawing = mg.draw(F.exp(leaf(1.0)))
        monkeypatch.setitem(sys.modules, "graphviz", type("graphviz", (), {"Source": Source}))
        assert drawing.svg == mg.draw(F.exp(leaf(1.0))).svg

    @pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's program dot is not installed")
    def test_the_real_one_places_every_box(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "graphviz")
        pytest.importorskip("graphviz")
        x = leaf(1.0)
        drawing = mg.draw(x * x + F.exp(x), names={'"<&\\': x})
        plain = drawing.svg
        monkeypatch.setitem(sys.modules, "graphviz", None)
        again = mg.draw(x * x + F.exp(x), names={'"<&\\': x})
        assert texts(drawing) == texts(again) and plain != again.svg
