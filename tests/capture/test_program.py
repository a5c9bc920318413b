"""Captured programs on the CPU: a replay has the bits of the eager step, or the step is refused; memory is reused."""

from __future__ import annotations

import copy
import functools
import itertools
import operator
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.op_cases import CASES, Case

import minigrad as mg
import minigrad.functional as F
from gans.training import average
from minigrad import nn, optim
from minigrad.arrays import hooks
from minigrad.arrays.hooks import persistent
from minigrad.capture import WARM_UP, Captured
from minigrad.capture.program import Program
from minigrad.capture.traced_array import TracedArray
from minigrad.kernels.cpu import parallel

CALLS = WARM_UP + 4  # two warm-up calls, one that is captured, three replays

Arrays = dict[str, np.ndarray]
Step = Callable[..., dict[str, mg.Tensor]]
Function = Callable[[mg.Tensor, mg.Tensor], Any]


DRAWN = np.random.default_rng(0).normal(size=(CALLS, 2, 3, 4)).astype(np.float32)
PAIRS = [list(pair) for pair in DRAWN]  # two inputs, different in each call


def numbers(step: Step, inputs: Iterable[list[np.ndarray]]) -> list[Arrays]:
    """The results of a step, a dict for each call."""
    rows = (step(*[mg.Tensor(x.copy()) for x in row]) for row in inputs)
    return [{name: np.array(x.data.view(np.ndarray)) for name, x in row.items()} for row in rows]


def assert_same_bits(actual: list[Arrays], expected: list[Arrays]) -> None:
    for call, (mine, theirs) in enumerate(zip(actual, expected, strict=True)):
        assert mine.keys() == theirs.keys()
        for name, x in theirs.items():
            assert (mine[name].shape, mine[name].dtype) == (x.shape, x.dtype), f"{name}, call {call}"
            assert mine[name].tobytes() == x.tobytes(), f"{name}, call {call}: {mine[name]} instead of {x}"


def refusal(make: Callable[[], Step], inputs: Iterable[list[np.ndarray]] = PAIRS) -> str:
    """Why a step is refused, or "" if it is replayed. Fails unless its results have the bits of the eager step."""
    inputs = list(inputs)
    mg.manual_seed(0)
    expected = numbers(make(), inputs)
    mg.manual_seed(0)
    step = Captured(make())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_same_bits(numbers(step, inputs), expected)
    assert not hooks.capturing()
    reasons = [str(warning.message) for warning in caught]
    assert all("this step cannot be captured and runs op by op" in reason for reason in reasons), reasons
    assert (step.program is None) == bool(reasons) == step.refused
    return "".join(reasons)


def of_two(function: Function) -> Callable[[], Step]:
    """A step without state that computes a function of x and y."""
    return lambda: lambda x, y: {"out": mg.Tensor(function(x, y))}


# Every function of the table in reference/op_cases.py.

NOT_CAPTURED = {  # cases that cannot be captured: the start of the name, and a part of the warning
    "index/mask": "a value is read",  # the number of elements
    **{f"batch_norm/{what}, evaluation": "became a tensor" for what in ("rows", "images")},  # the case creates its statistics
}


def derivatives(case: Case, *given: mg.Tensor) -> dict[str, mg.Tensor]:
    """The output, the gradients for the cotangent g and the gradients of their products with directions; see `Case`."""
    count = len(case.inputs)
    inputs = [mg.Tensor(x.data, requires_grad=x.dtype.kind == "f") for x in given[:count]]
    out = case.minigrad(*inputs)
    checked = [x for x in inputs if x.requires_grad]
    g = mg.Tensor(given[count].data, requires_grad=True)
    grads = mg.grad(out, checked, g, create_graph=True)
    inner = 0 * g.sum()
    for v, grad in zip(given[count + 1 :], grads, strict=True):
        inner = inner + (v * grad).sum()
    seconds = mg.grad(inner, [*checked, g])
    named = {f"{order}.{i}": x for order, each in (("grad", grads), ("second", seconds)) for i, x in enumerate(each)}
    return {"out": out.detach(), **named}


def inputs_of(case: Case, call: int) -> list[np.ndarray]:
    """Inputs, the cotangent and directions, different in each call: constant inputs are rolled."""
    rng = np.random.RandomState(call)
    arrays = [np.roll(make(rng), call, -1) for make in case.inputs]
    with mg.no_grad():
        out = case.minigrad(*map(mg.Tensor, arrays))
    g = case.vector(f"g {call}", out.shape).astype(out.dtype)
    return [*arrays, g, *[case.vector(f"v {i} {call}", x.shape) for i, x in enumerate(arrays) if x.dtype.kind == "f"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_replays_of_every_function_and_its_derivatives_are_bit_identical_to_eager_steps(case: Case) -> None:
    reason = refusal(lambda: lambda *given: derivatives(case, *given), [inputs_of(case, call) for call in range(WARM_UP + 3)])
    expected = [said for beginning, said in NOT_CAPTURED.items() if case.name.startswith(beginning)]
    assert all(said in reason for said in expected) if expected else reason == ""


# State that a step changes besides its weights.


def training(layers: Callable[[], list[nn.Module]], decay: float | None = None) -> Callable[[], Step]:
    """A training step that returns the loss, parameters and buffers, and with `decay` their running average."""

    def make() -> Step:
        network = nn.Sequential(*layers())
        follower = copy.deepcopy(network)
        optimizer = optim.SGD(network.parameters(), lr=0.1, momentum=0.5)

        def step(x: mg.Tensor, y: mg.Tensor) -> dict[str, mg.Tensor]:
            loss = ((network(x) - y) ** 2).mean()
            optimizer.step(mg.grad(loss, network.parameters()))
            if decay is not None:
                average.follow(follower, network, decay)
            state = network._state() | ({} if decay is None else {f"a.{key}": a for key, a in follower._state().items()})
            return {"loss": loss} | {key: mg.Tensor(persistent(a.data).copy()) for key, a in state.items()}

        return step

    return make


NETWORKS: dict[str, Callable[[], Step]] = {
    "dropout": training(lambda: [nn.Linear(4, 4), nn.Dropout(0.5)]),
    "batch norm": training(lambda: [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LeakyReLU(0.1)]),
    "spectral norm": training(lambda: [nn.spectral_norm(nn.Linear(4, 5)), nn.Tanh(), nn.spectral_norm(nn.Linear(5, 4))]),
    "running average": training(lambda: [nn.Linear(4, 4), nn.BatchNorm1d(4)], decay=0.75),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_the_state_of_layers_changes_in_replays_as_in_eager_steps(make: Callable[[], Step]) -> None:
    assert refusal(make) == ""
    rows = numbers(Captured(make()), PAIRS)
    for before, after in itertools.pairwise(rows):
        # Batch norm cancels the bias of the layer before it.
        assert all((before[name] != after[name]).any() for name in after if not name.endswith("0.bias"))


@pytest.mark.parametrize("drop", [F.dropout, F.dropout2d])
def test_each_replay_of_dropout_draws_a_new_mask(drop: Any) -> None:
    mg.manual_seed(3)
    ones = np.ones((4, 8, 1, 1), np.float32)
    rows = numbers(Captured(lambda x: {"mask": drop(x, 0.5)}), [[ones]] * CALLS)
    assert len({row["mask"].tobytes() for row in rows}) == CALLS
    assert {value for row in rows for value in row["mask"].ravel().tolist()} == {0.0, 2.0}


# Array code that a capture cannot follow.

REFUSED: dict[str, Function] = {
    "a raw array as a tensor": lambda x, y: x * mg.Tensor(np.ones(4, np.float32)),
    "a raw array among traced ones": lambda x, y: x.data * np.ones(4, np.float32),
    "a raw array as an index": lambda x, y: x[np.array([0, 2])],
    "adding to a raw array": lambda x, y: np.add(x.data, y.data, out=np.zeros((3, 4), np.float32)),
    "copying to a raw array": lambda x, y: np.copyto(np.zeros((3, 4), np.float32), x.data) or x,
    "item": lambda x, y: x * y.sum().item(),
    "float": lambda x, y: x * float(y.sum()),
    "bool": lambda x, y: x if (y.sum() > 0) else y,
    "a slice that ends at a value": lambda x, y: x.data[: (y.data[:, 0] > 0).sum()].sum(axis=0),
    "a mask": lambda x, y: x.data[y.data > 0].sum(),
    "divmod": lambda x, y: np.divmod(x.data, y.data)[1],
    "frexp": lambda x, y: np.frexp(x.data)[0],
    "a list of traced numbers": lambda x, y: x * np.mean([x.data.sum(), y.data.sum()]),
}

REPLAYED: dict[str, Function] = {
    "writing under a mask": lambda x, y: done(operator.setitem, x.data.copy(), y.data > 0, 0),
    "writing at indices": lambda x, y: done(operator.setitem, x.data.copy(), np.argmax(y.data, axis=0), y.data[0]),
    "a sum under a mask": lambda x, y: np.sum(x.data, where=y.data > 0),
    "indices that are computed": lambda x, y: x[mg.Tensor(np.argsort(y.data[:, 0])[:2])],
    "the row of a computed number": lambda x, y: x.data[np.argmax(y.data[:, 0])],
    "a choice": lambda x, y: np.where(x.data > y.data, x.data, 0),
    "adding at indices": lambda x, y: done(np.add.at, np.zeros_like(x.data), np.argmax(y.data, axis=0), 1),
    "a window that slides": lambda x, y: np.lib.stride_tricks.sliding_window_view(x.data, 2, axis=1).sum(-1),
    "moments": lambda x, y: np.stack([x.data.mean(), x.data.std(), np.median(x.data), np.linalg.norm(x.data)]),
    "products of matrices and of vectors": lambda x, y: x.data.dot(y.data.T) * x.data[0].dot(y.data[1]),
    "numbers and lists": lambda x, y: x.data * 2 + [1, 2, 3, 4],
}


def done(function: Callable[..., Any], to: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
    """Call `function(to, ...)`, which writes to `to`, and return `to`. Each option gets `to` as its value."""
    function(to, *args, **dict.fromkeys(options, to))
    return to


@pytest.mark.parametrize("function", REFUSED.values(), ids=REFUSED)
def test_code_that_a_capture_cannot_follow_is_refused_and_gives_correct_results(function: Function) -> None:
    assert refusal(of_two(function))


@pytest.mark.parametrize("function", REPLAYED.values(), ids=REPLAYED)
def test_array_code_that_reads_no_value_on_the_host_is_replayed(function: Function) -> None:
    assert refusal(of_two(function)) == ""


SUBTLE: dict[str, Function] = {
    "functions that write and return nothing": lambda x, y: done(np.copyto, np.zeros_like(x.data), y.data),
    "functions with out": lambda x, y: done(np.clip, x.data.copy(), -0.5, 0.5, out=Ellipsis),
    "flat": lambda x, y: done(lambda a: a.flat.__setitem__(0, 0), x.data.copy()),
    "the index of the maximum": lambda x, y: x * y.data.argmax(),
    "Python's booleans": lambda x, y: x if np.array_equal(y.data.max(), np.abs(y.data).max()) else y,
    "a named tuple of results": lambda x, y: x / np.linalg.svd(y.data)[1][0],
    "a tuple of results": lambda x, y: x * len(np.where(y.data > 0)[0]),
    "a tensor as an array": lambda x, y: x * np.asarray(y).mean(),
    "a plain view of a dropped array": lambda x, y: (np.asarray(x.data * 2), [y.data * i for i in range(5)])[0] + 0,
    "whole numbers as scalars": lambda x, y: x / (y.data > 0).sum(),
    "an element is a copy": lambda x, y: ((row := x.data.sum(axis=0))[0], row.fill(0))[0],
    "a shape that depends on values": lambda x, y: np.unique(np.floor(x.data)).sum(),
    "several results with out": lambda x, y: np.modf(x.data, out=(np.zeros_like(x.data), np.zeros_like(x.data)))[1],
}
SUBTLE_WITH_WEIGHTS: dict[str, Function] = {
    "a weight written to": lambda p, x: p.data.__imul__(0.5) is None or x,
    "a weight read by NumPy": lambda p, x: x / np.linalg.norm(p.data),
    "an element of a weight": lambda p, x: x * p.data[0, 0],
    "a copy of a network": lambda p, x: x * copy.deepcopy(p),
    "assigning to an array": lambda p, x: p.data.__setitem__(0, x.data[0]) or x,
}


def of_weight(function: Function) -> Callable[[], Step]:
    """A step that reads and updates a weight."""

    def make() -> Step:
        p = nn.Parameter(np.ones((3, 4), np.float32))
        return lambda x, y: {"out": mg.Tensor(function(p, x)).sum(), "p": p.assign(p + 0.25 * y) or (p * 1).detach()}

    return make


EACH = {name: of_two(function) for name, function in SUBTLE.items()}
EACH |= {name: of_weight(function) for name, function in SUBTLE_WITH_WEIGHTS.items()}


@pytest.mark.parametrize("make", EACH.values(), ids=EACH)
def test_subtle_array_code_is_refused_or_replayed_correctly(make: Callable[[], Step]) -> None:
    refusal(make)


UNNOTICED: dict[str, Function] = {
    "sort in place": lambda x, y: done(np.ndarray.sort, x.data.copy()),
    "NumPy's scalars": lambda x, y: x * np.float32(y.data[0, 0]),
    "a plain view": lambda x, y: x * np.asarray(y.data)[0, 0],
}


@pytest.mark.xfail(strict=True, reason="NumPy does not report these uses of an array")
@pytest.mark.parametrize("function", UNNOTICED.values(), ids=UNNOTICED)
def test_uses_that_numpy_does_not_report_are_refused_or_replayed_correctly(function: Function) -> None:
    refusal(of_two(function))


def large(x: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
    """Images, channels-last and large, and their sum, as rows."""
    images = F.leaky_relu((x + y).reshape(4, 64, 16, 16)).permute(0, 3, 1, 2)
    return (images + images * 2).reshape(4, -1)


@pytest.mark.parametrize("name", ["_add", "_transpose"])
def test_large_sums_and_transposing_copies_are_replayed_by_loops_of_several_threads(name: str) -> None:
    inputs = [mg.Tensor(x) for x in np.random.default_rng(1).normal(size=(2, 4, 64, 16, 16)).astype(np.float32)]
    step = Captured(of_two(large)())
    expected = large(*inputs).numpy()
    for _ in range(CALLS):
        assert step(*inputs)["out"].numpy().tobytes() == expected.tobytes()
    assert step.program is not None
    assert getattr(parallel, name) in [getattr(call, "func", None) for call in step.program.calls]


def test_powers_of_scalars_are_replayed_to_within_rounding() -> None:
    """A replay uses arrays of one element, which NumPy rounds differently from scalars on some processors."""

    def step(x: mg.Tensor, y: mg.Tensor) -> dict[str, mg.Tensor]:
        return {"out": mg.Tensor(np.stack([abs(number) ** 1.7 for number in x.data.ravel()]))}

    captured = Captured(step)
    for replayed, eager in zip(numbers(captured, PAIRS), numbers(step, PAIRS), strict=True):
        np.testing.assert_allclose(replayed["out"], eager["out"], rtol=2 * np.finfo(np.float32).eps)
    assert captured.program is not None


# Memory.


def program_of(function: Callable[[np.ndarray], np.ndarray]) -> Program:
    """The captured program of a function of an array of 8000 bytes."""
    made = Program([np.ones(1000)])
    made.capture(lambda x: {"out": function(x)})
    assert not made.refusal
    return made


def holding(length: int) -> Program:
    return program_of(lambda x: sum([x * i for i in range(length)]))


def test_the_memory_of_a_chain_of_ops_does_not_grow_with_its_length() -> None:
    chains = [program_of(lambda x, n=n: functools.reduce(lambda y, _: np.tanh(y) * 0.5, range(n), x)) for n in (5, 50, 500)]
    assert chains[0].size == chains[1].size == chains[2].size <= 3 * 8064


def test_arrays_that_are_alive_together_do_not_share_memory() -> None:
    assert 20 * 8000 <= holding(20).size <= 23 * 8064


@pytest.mark.parametrize("view", [lambda x: x[1:], lambda x: x.T[::-1], lambda x: x.reshape(4, 3).T, lambda x: x.view()[None]])
def test_a_view_keeps_its_memory_when_its_base_is_dropped(view: Any) -> None:
    assert refusal(of_two(lambda x, y: (view(x.data * 2), [y.data * i for i in range(5)])[0] + 0)) == ""


OPS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "tanh": lambda x, y: np.tanh(x),
    "copy": lambda x, y: np.copy(x),
    "add": lambda x, y: x + fitting(y, x.shape),
    "mean": lambda x, y: (x + fitting(y, x.shape)) / 2,
    "transpose": lambda x, y: x.T,
    "reverse": lambda x, y: x[::-1],
    "flat": lambda x, y: x.reshape(-1),
    "a matrix": lambda x, y: x.reshape(2, -1) if x.size % 2 == 0 else x,
    "without the first": lambda x, y: x[1:] if len(x) > 1 else x,
    "every second": lambda x, y: x[..., ::-2],
    "chosen rows": lambda x, y: x[[0, -1]],
    "write all": lambda x, y: x.__setitem__(..., fitting(y, x.shape)),
    "write some": lambda x, y: x.__setitem__(slice(None, None, 2), y.sum()),
    "halve": lambda x, y: x.__imul__(0.5),
}
place = st.integers(0, 99)
code_of_any_program = st.lists(st.tuples(st.sampled_from([*OPS, *["drop"] * 4]), place, place), max_size=25)


def fitting(y: np.ndarray, shape: tuple[int, ...]) -> Any:
    """y reshaped to `shape` if the sizes agree, else the sum of y."""
    return y.reshape(shape) if y.size == np.prod(shape) else y.sum()


def run(code: list[tuple[str, int, int]], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Run a small program on a list of arrays, which grows and shrinks."""
    for name, i, j in code:
        if name != "drop":
            result = OPS[name](arrays[i % len(arrays)], arrays[j % len(arrays)])
            arrays += [] if result is None else [result]
            del result  # so that a dropped array is freed at once
        elif len(arrays) > 1:
            del arrays[i % len(arrays)]
    return arrays


@settings(max_examples=150)
@given(code=code_of_any_program)
def test_no_live_result_is_overwritten(code: list[tuple[str, int, int]]) -> None:
    """Replays of any small program equal NumPy. One of its arrays is kept between steps."""

    def make() -> Step:
        kept = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)

        def step(x: mg.Tensor, y: mg.Tensor) -> dict[str, mg.Tensor]:
            arrays = run(code, [x.data, y.data, persistent(kept)])
            return {"kept": mg.Tensor(persistent(kept).copy()), **{str(i): mg.Tensor(a.copy()) for i, a in enumerate(arrays)}}

        return step

    assert refusal(make, PAIRS[: WARM_UP + 3]) == ""


# After a capture, and when it fails.


def test_traced_arrays_that_outlive_their_capture_act_as_plain_arrays() -> None:
    kept: list[np.ndarray] = []
    made = Program([np.arange(1.0, 7.0).reshape(2, 3)])
    made.capture(lambda x: {"out": kept.append(x * 2) or kept[0] + 1})
    (x,), plain = kept, 2 * np.arange(1.0, 7.0).reshape(2, 3)
    assert type(x) is TracedArray and not hooks.captures
    for function in (
        lambda a: a + 1, lambda a: a.sum(axis=0), lambda a: a[a > 4], lambda a: np.concatenate([a, a[::-1]]), lambda a: a @ a.T,
        lambda a: a.reshape(-1).copy(), lambda a: a.astype(int), lambda a: np.add(a, 1, out=np.zeros((2, 3))),
        lambda a: np.where(a > 4, a, 0), lambda a: np.linalg.svd(a)[1], lambda a: F.tanh(mg.Tensor(a)).data,
    ):  # fmt: skip
        assert type(function(x)) is np.ndarray
        np.testing.assert_array_equal(function(x), function(plain))
    assert x[0, 0].item() == 2.0 and bool(x[0, 0]) and x.tolist() == plain.tolist()
    x[0] = 5.0
    x += 1
    assert x.tolist() == [[6.0, 6.0, 6.0], [9.0, 11.0, 13.0]]
    assert not made.refusal


def test_a_step_that_raises_during_its_capture_can_be_captured_later() -> None:
    p = nn.Parameter(np.ones((3, 4), np.float32))
    calls: list[int] = []

    def make_step(x: mg.Tensor, y: mg.Tensor) -> dict[str, mg.Tensor]:
        (gradient,) = mg.grad((p * x * y).sum(), [p])
        calls.append(len(calls))
        if len(calls) == WARM_UP + 1:
            assert hooks.capturing()
            raise KeyError("a bad day")
        return {"gradient": gradient}

    step = Captured(make_step)
    numbers(step, PAIRS[:WARM_UP])
    with pytest.raises(KeyError, match="a bad day"):
        numbers(step, PAIRS[:1])
    assert not hooks.capturing() and not hooks.captures and step.program is None and not step.refused
    assert type((p * 2).data) is np.ndarray
    assert_same_bits(numbers(step, PAIRS), [{"gradient": x * y} for x, y in PAIRS])
    assert step.program is not None and len(calls) == WARM_UP + 2
    assert refusal(of_two(lambda x, y: x + y)) == ""


def test_deleting_a_program_frees_its_memory() -> None:
    made = holding(20)
    blocks = [weakref.ref(block.base) for block in made.free]
    assert len(blocks) >= 20 and all(block() is not None for block in blocks)
    del made
    assert all(block() is None for block in blocks)
