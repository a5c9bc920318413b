"""The import graph of the code: a module imports only from its own layer or lower ones, and there are no cycles.

Imports inside functions and under TYPE_CHECKING do not count: they do not run when the module is imported.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[1]

# From the bottom to the top. A module imports only from its own layer and from those below it.
LAYERS = (
    ("minigrad.tuning", "minigrad.from_pytorch", "minigrad.modes", "minigrad.io.caches"),
    ("minigrad.arrays",),
    ("minigrad.parallel",),
    ("minigrad.kernels",),
    ("minigrad.tensor",),
    ("minigrad.engine",),
    ("minigrad.random", "minigrad.checks"),
    ("minigrad.ops", "minigrad.functional"),
    ("minigrad.io",),
    ("minigrad.gradcheck", "minigrad.nn", "minigrad.optim", "minigrad.drawing"),
    ("minigrad",),
    ("minigrad.capture",),
    ("gans",),
    ("benchmarks",),
)

# `Tensor`'s operators are ops, and ops need `Tensor`: tensor.py imports these two modules after its class.
INHERENT = {("minigrad.tensor", "minigrad.engine"), ("minigrad.tensor", "minigrad.functional")}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(p): p for package in ("minigrad", "gans", "benchmarks") for p in (ROOT / package).rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The project's modules that a file imports when it is imported."""
    found = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are absolute"
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in PATHS else node.module for module in modules}
        todo += ast.iter_child_nodes(node)
    return found & PATHS.keys()


IMPORTS = {name: imported(path) - {name} for name, path in PATHS.items()}
IMPORTS = {name: {other for other in found if (name, other) not in INHERENT} for name, found in IMPORTS.items()}


def layer(name: str) -> int:
    """The index in LAYERS of the longest prefix of the module's name."""
    return max(
        (len(prefix), i)
        for i, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if name == prefix or name.startswith(prefix + ".")
    )[1]


def test_modules_import_only_from_their_own_layer_or_lower_ones() -> None:
    wrong = [f"{name} imports {other}" for name, found in IMPORTS.items() for other in found if layer(other) > layer(name)]
    assert not wrong


def test_imports_have_no_cycles() -> None:
    assert len(list(graphlib.TopologicalSorter(IMPORTS).static_order())) == len(PATHS)  # a CycleError names the cycle


def test_shared_code_does_not_import_the_algorithms() -> None:
    shared = ("gans.command", "gans.data", "gans.losses", "gans.measures", "gans.networks", "gans.output", "gans.training")
    from_shared = {other for name, found in IMPORTS.items() if name.startswith(shared) for other in found}
    assert {other for other in from_shared if other.startswith("gans.") and not other.startswith(shared)} == set()
