"""The table of `minigrad.from_pytorch`: the README shows it, its names are refused in its words, and its two sides agree."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import from_pytorch, nn, optim
from minigrad.from_pytorch import ROWS, Row

ROOT = Path(__file__).parents[2]
X = np.array([[0.2, -1.5], [0.7, 1.1], [2.0, -0.3]], np.float32)
EVERY_NAME = [(row, name) for row in ROWS for name in row.names.split()]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pytorch)


def ours(tmp_path: Path) -> dict[str, Any]:
    """The names that a row's minigrad side may use."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    for p in net.parameters():
        p.assign(np.full(p.shape, 0.1, np.float32))
        p.grad = np.full(p.shape, 2.0, np.float32)
    x = mg.Tensor(X, requires_grad=True)
    labels = mg.Tensor(np.array([0, 1, 1]))
    return {
        "mg": mg, "F": F, "nn": nn, "optim": optim, "np": np, "x": x, "y": mg.Tensor(X % 1), "p": F.sigmoid(x),
        "labels": labels, "net": net, "layer": nn.Linear(2, 2), "path": tmp_path / "ours",
        "optimizer": optim.Adam(net.parameters(), lr=0.1),
    }  # fmt: skip


def theirs(tmp_path: Path) -> dict[str, Any]:
    """The names that a row's PyTorch side may use, of the same values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns while it is imported
        torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))
    for p in net.parameters():
        p.data.fill_(0.1)
        p.grad = torch.full_like(p, 2.0)
    x = torch.tensor(X, requires_grad=True)
    return {
        "torch": torch, "F": torch.nn.functional, "nn": torch.nn, "x": x, "y": torch.tensor(X % 1), "p": torch.sigmoid(x),
        "labels": torch.tensor([0, 1, 1]), "net": net, "layer": torch.nn.Linear(2, 2), "path": tmp_path / "theirs",
        "optimizer": torch.optim.Adam(net.parameters(), lr=0.1), "lr_scheduler": torch.optim.lr_scheduler,
    }  # fmt: skip


def run(code: str, names: dict[str, Any]) -> Any:
    """The value of an expression; of an assignment, which changes `names`, True."""
    if " = " in code:
        exec(code, names)
        return True
    return eval(code, names)


def plain(value: Any) -> Any:
    """Values of either side as NumPy arrays and numbers; other objects as None."""
    if isinstance(value, mg.Tensor):
        return value.numpy()
    if type(value).__module__.startswith("torch") and hasattr(value, "detach"):
        return value.detach().numpy()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


@each_row
def test_both_sides_of_a_row_compute_the_same(row: Row, tmp_path: Path) -> None:
    if "cup" in row.minigrad:
        pytest.skip("needs a GPU")
    names, others = ours(tmp_path), theirs(tmp_path)
    found, expected = run(row.minigrad, names), run(row.pytorch, others)
    assert (plain(found) is None) == (plain(expected) is None)
    if plain(found) is not None:
        assert np.shape(plain(found)) == np.shape(plain(expected))
        for a, b in zip(*(v if isinstance(v, list) else [v] for v in (plain(found), plain(expected))), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
            assert np.asarray(a).dtype == np.asarray(b).dtype or "randn" in row.pytorch
    for p, q in zip(names["net"].parameters(), others["net"].parameters(), strict=False):  # of rows that clip
        if p.shape == tuple(q.shape) and p.grad is not None and q.grad is not None:
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize(("row", "name"), EVERY_NAME, ids=lambda each: each if isinstance(each, str) else "")
def test_a_name_that_does_not_exist_says_what_to_write(row: Row, name: str, tmp_path: Path) -> None:
    owners = {
        "Tensor": mg.Tensor(X), "Module": nn.Linear(1, 1), "Optimizer": ours(tmp_path)["optimizer"],
        "minigrad": mg, "functional": F, "nn": nn, "optim": optim,
    }  # fmt: skip
    with pytest.raises(AttributeError) as caught:
        getattr(owners[row.owner], name)
    assert str(caught.value).endswith(f"has no `{name}`: for PyTorch's `{row.pytorch}` write `{row.minigrad}`")


@each_row
def test_the_first_name_of_a_row_is_in_its_pytorch_side(row: Row) -> None:
    assert all(name in row.pytorch for name in row.names.split()[:1]) or row.owner == "minigrad"
    assert bool(row.owner) == bool(row.names)


def test_functions_of_the_package_functional_are_found_there_by_the_error() -> None:
    with pytest.raises(AttributeError, match=r"minigrad has no `stack`: write `F\.stack`"):
        mg.stack  # noqa: B018


def test_names_that_nobody_expects_are_ordinary_attribute_errors() -> None:
    for owner in (mg.Tensor(X), nn.ReLU(), mg, F, nn, optim):
        assert not hasattr(owner, "no_such_name")
        assert not hasattr(owner, "__no_such_protocol__")


def test_the_readme_shows_the_table() -> None:
    assert from_pytorch.table() in (ROOT / "README.md").read_text(encoding="utf-8")
