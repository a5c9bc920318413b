"""The table of `minigrad.from_pytorch`: the README shows it, its names are refused in its words, and its two sides agree."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import from_pytorch, nn, optim
from minigrad.from_pytorch import ARGUMENTS, ROWS, SENTENCES, Row

ROOT = Path(__file__).parents[2]
X = np.array([[0.2, -1.5], [0.7, 1.1], [2.0, -0.3]], np.float32)
EVERY_NAME = [(row, name) for row in ROWS for name in row.names.split()]
WRITTEN = list(dict.fromkeys([*ROWS, *(row.written_with(name) for row, name in EVERY_NAME)]))  # with each of their names
OWNERS = ("Tensor", "Module", "Optimizer", "minigrad", "functional", "nn", "init", "optim")
each_row = pytest.mark.parametrize("row", WRITTEN, ids=lambda row: row.pytorch)


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
        "labels": labels, "images": mg.Tensor(X.reshape(1, 1, 3, 2)),
        "net": net, "layer": nn.Linear(2, 2), "w": nn.Parameter(X), "path": tmp_path / "ours",
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
        "labels": torch.tensor([0, 1, 1]), "images": torch.tensor(X.reshape(1, 1, 3, 2)),
        "net": net, "layer": torch.nn.Linear(2, 2), "path": tmp_path / "theirs",
        "w": torch.tensor(X),
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
    if isinstance(value, mg.Tensor | np.generic):
        return np.asarray(value)
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
    if row.minigrad.startswith("w.assign"):
        found = names["w"]
    assert (plain(found) is None) == (plain(expected) is None)
    if plain(found) is not None:
        assert np.shape(plain(found)) == np.shape(plain(expected))
        for a, b in zip(*(v if isinstance(v, list) else [v] for v in (plain(found), plain(expected))), strict=True):
            if not re.search("rand|normal_|uniform_|empty", row.pytorch):
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
            assert np.asarray(a).dtype == np.asarray(b).dtype
    for p, q in zip(names["net"].parameters(), others["net"].parameters(), strict=False):  # of rows that clip
        if p.shape == tuple(q.shape) and p.grad is not None and q.grad is not None:
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize(("row", "name"), EVERY_NAME, ids=lambda each: each if isinstance(each, str) else "")
def test_a_name_that_does_not_exist_says_what_to_write(row: Row, name: str, tmp_path: Path) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(owner_named(row.owner), name)
    row = row.written_with(name)
    assert str(caught.value).endswith(f"has no `{name}`: for PyTorch's `{row.pytorch}` write `{row.minigrad}`")


@pytest.mark.parametrize(("owner", "name"), SENTENCES)
def test_a_name_without_an_other_side_is_explained_by_a_sentence(
    owner: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "compile":  # other tests import the command minigrad.compile
        monkeypatch.delattr(mg, name, raising=False)
    with pytest.raises(AttributeError) as caught:
        getattr(owner_named(owner), name)
    assert str(caught.value).endswith(f"has no `{name}`: {SENTENCES[owner, name]}")


def owner_named(name: str) -> Any:
    things = mg.Tensor(X), nn.Linear(1, 1), optim.SGD([nn.Parameter(X)]), mg, F, nn, nn.init, optim
    return dict(zip(OWNERS, things, strict=True))[name]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pytorch)
def test_the_first_name_of_a_row_is_in_its_pytorch_side(row: Row) -> None:
    assert all(name in row.pytorch for name in row.names.split()[:1]) or row.owner == "minigrad"
    assert bool(row.owner) == bool(row.names)


def test_functions_of_the_package_functional_are_found_there_by_the_error() -> None:
    with pytest.raises(AttributeError, match=r"minigrad has no `stack`: write `F\.stack`"):
        mg.stack  # noqa: B018
    with pytest.raises(
        AttributeError, match=r"minigrad has no `clamp`: for PyTorch's `torch.clamp\(x, min=0\)` write `F.clip\("
    ):
        mg.clamp  # noqa: B018


def takes(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


CALLABLES = {f"F.{name}": getattr(F, name) for name in F.__all__}
CALLABLES |= {f"x.{name}": getattr(mg.Tensor(X), name) for name in vars(mg.Tensor) if name.islower() and name[0] != "_"}
CALLABLES |= {f"nn.{name}": getattr(nn, name) for name in nn.__all__} | {
    f"optim.{name}": getattr(optim, name) for name in optim.__all__
}
CALLABLES = {name: value for name, value in CALLABLES.items() if inspect.isroutine(value) or isinstance(value, type)}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_public_function_explains_the_arguments_of_pytorch_that_it_does_not_take(argument: str) -> None:
    assert len(CALLABLES) > 150
    for name, function in CALLABLES.items():
        if argument not in takes(function) and not {"options"} & takes(function) and name != "optim.BadGradient":
            with pytest.raises(TypeError) as caught:
                function(**{argument: 1})
            assert str(caught.value).endswith(f"has no argument `{argument}`: {ARGUMENTS[argument]}"), name


@pytest.mark.parametrize("name", ["ReLU", "ELU", "LeakyReLU", "SiLU", "Dropout", "Dropout2d"])
def test_inplace_by_position_is_explained(name: str) -> None:
    settings = [0.2] * (len(takes(getattr(nn, name))))
    with pytest.raises(TypeError, match=f"{name} has no argument `inplace`: leave it out"):
        getattr(nn, name)(*settings, True)


@pytest.mark.parametrize(
    "function", [lambda t: F.cross_entropy(mg.Tensor(X), t), lambda t: F.embedding(t, mg.Tensor(X)), F.flatten]
)
def test_a_list_instead_of_a_tensor_is_explained(function: Any) -> None:
    with pytest.raises(TypeError, match=r"takes tensors: write mg.Tensor\(...\) around lists and arrays"):
        function([0, 1, 1])


def test_other_errors_of_arguments_stay_as_they_are() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such'"):
        F.relu(mg.Tensor(X), no_such=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        F.relu()
    with pytest.raises(AttributeError, match="NoneType"):
        F.flatten(None)
    with pytest.raises(TypeError, match="x is float64"):
        nn.Linear(2, 1)(mg.Tensor(X.astype(np.float64)))


@pytest.mark.parametrize("function", [F.relu, F.sum, mg.grad, optim.clip_grad_norm_, nn.Linear])
def test_functions_that_explain_their_arguments_can_be_pickled(function: Any) -> None:
    assert pickle.loads(pickle.dumps(function)) is function


def test_a_module_has_no_function_tensor() -> None:
    with pytest.raises(AttributeError, match=r"minigrad has no `tensor`: .* write `mg.Tensor"):
        mg.tensor([1.0])  # type: ignore[attr-defined]
    assert importlib.import_module("minigrad.tensor").Tensor is mg.Tensor


def test_the_list_of_parameters_is_no_iterator() -> None:
    with pytest.raises(TypeError, match=r"net\.parameters\(\)\[0\]"):
        next(nn.Linear(1, 1).parameters())  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cpu", np.float64])
def test_the_backends_are_named_where_devices_are_given(name: Any) -> None:
    for move in (mg.Tensor(X).to, nn.Linear(1, 1).to, lambda device: mg.randn((2,), device)):
        with pytest.raises(mg.BackendError, match='write "cupy" for the GPU and "numpy" for the CPU'):
            move(name)


def test_names_that_nobody_expects_are_ordinary_attribute_errors() -> None:
    for owner in map(owner_named, OWNERS):
        assert not hasattr(owner, "no_such_name")
        assert not hasattr(owner, "__no_such_protocol__")


def test_the_readme_shows_the_table() -> None:
    assert from_pytorch.table() in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("owner", "name", "advice"),
    [
        ("Tensor", "sin", "write `F.sin`, after `import minigrad.functional as F`"),
        ("Tensor", "logsumexp", "write `F.logsumexp`"),
        ("functional", "unsqueeze", "write `x.unsqueeze`"),
        ("minigrad", "permute", "write `x.permute`"),
        ("minigrad", "sign", "for PyTorch's `x.sign()` write `mg.Tensor(np.sign(x.data))`"),
        ("functional", "lt", "write x < y"),
    ],
)
def test_functions_and_methods_are_found_in_each_others_place(owner: str, name: str, advice: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(owner_named(owner), name)
    assert f"has no `{name}`: {advice}" in str(caught.value)


def test_an_error_in_the_users_own_code_keeps_its_message() -> None:
    class Net(nn.Module):
        def forward(self, x: mg.Tensor) -> Any:
            return x.shape.numel()  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'numel'"):
        nn.Sequential(Net())(mg.Tensor(X))


def test_settings_that_are_given_by_name_are_listed() -> None:
    with pytest.raises(TypeError, match="BatchNorm2d takes eps=, momentum=, affine= by name"):
        nn.BatchNorm2d(3, 1e-5, 0.1)  # type: ignore[misc]
