"""No file of `benchmarks` imports another one that imports it, directly or through others, at any place in the file."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "benchmarks").rglob("*.py")
}


def imports_of(path: Path) -> set[str]:
    """The files of `benchmarks` that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {name if (name := f"{node.module}.{alias.name}") in FILES else node.module for alias in node.names}
    return found & FILES.keys()


def test_imports_have_no_circles() -> None:
    imports = {name: imports_of(path) for name, path in FILES.items()}
    assert "benchmarks.measure.process" in imports["benchmarks.measure.steps"]
    order = list(graphlib.TopologicalSorter(imports).static_order())  # CycleError names a circle
    assert len(order) == len(FILES)
