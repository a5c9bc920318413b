"""A captured step computes what the step computes, with new noise, new images and new learning rates at each replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from tiny_trainers import MAKERS, Batch, as_numbers, batches, everything, make

import minigrad as mg
import minigrad.functional as F
from gans.training.trainer import Trainer
from minigrad import optim, random
from minigrad.arrays import backend, hooks
from minigrad.capture import WARM_UP, Captured

STEPS = WARM_UP + 4


def run(step: Any, given: list[Batch]) -> list[dict[str, float]]:
    return as_numbers([step(*batch) for batch in given])


def assert_equal(actual: dict[str, Any], expected: dict[str, Any], ignore: tuple[str, ...] = ()) -> None:
    assert actual.keys() == expected.keys()
    for key in expected:
        if not key.endswith(ignore or "."):
            np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)


def captured(trainer: Trainer) -> Captured:
    """The trainer's step, captured. Warnings are errors: the test fails if the step cannot be captured."""
    return Captured(trainer.step)


class Training(NamedTuple):
    """A captured training of STEPS + 4 steps without interruption."""

    given: list[Batch]
    losses: list[dict[str, float]]
    checkpoint: dict[str, Any]
    after_checkpoint: dict[str, np.ndarray]
    end: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=MAKERS)
def which(request: pytest.FixtureRequest) -> str:
    """The trainer's name."""
    return str(request.param)


def start(which: str, name: str) -> Trainer:
    """A trainer, and the random stream at its beginning."""
    trainer = make(which, name)
    mg.manual_seed(1)
    return trainer


@pytest.fixture(scope="module")
def straight(name: str, which: str) -> Training:
    trainer = start(which, name)
    given = batches(trainer, STEPS + 4)
    step = captured(trainer)
    losses = run(step, given[:STEPS])
    checkpoint, after_checkpoint = {key: a.copy() for key, a in trainer.state_dict().items()}, everything(trainer)
    losses += run(step, given[STEPS:])
    assert step.program is not None
    return Training(given, losses, checkpoint, after_checkpoint, everything(trainer))


def test_captured_training_equals_eager_training_bit_for_bit(straight: Training, name: str, which: str) -> None:
    eager = start(which, name)
    assert run(eager.step, straight.given[:STEPS]) == straight.losses[:STEPS]
    assert_equal(straight.after_checkpoint, everything(eager))


@pytest.mark.parametrize("name", ["cupy"], indirect=True, scope="module")
def test_captured_losses_equal_those_of_eager_steps_on_the_cpu(straight: Training, which: str) -> None:
    eager = start(which, "numpy")
    curves = [list(row.values()) for row in run(eager.step, batches(eager, STEPS))]
    np.testing.assert_allclose([list(row.values()) for row in straight.losses[:STEPS]], curves, rtol=2e-4, atol=2e-5)


def test_training_resumes_bit_for_bit_from_a_checkpoint_saved_between_replays(
    straight: Training, name: str, which: str
) -> None:
    resumed = make(which, name)
    resumed.load_state_dict(straight.checkpoint)
    random.default_generator.counter = int(straight.after_checkpoint["random.counter"])
    assert run(captured(resumed), straight.given[STEPS:]) == straight.losses[STEPS:]
    assert_equal(everything(resumed), straight.end, ignore=("changes",))


def test_a_checkpoint_can_be_loaded_between_replays(name: str) -> None:
    trainer = make("mnist_gan", name)
    given = batches(trainer, STEPS)
    step = captured(trainer)
    run(step, given)
    saved = {key: backend.to_numpy(a).copy() for key, a in trainer.state_dict().items()}
    counter = random.default_generator.counter
    first, expected = run(step, given), everything(trainer)
    trainer.load_state_dict(saved)
    random.default_generator.counter = counter
    assert run(step, given) == first
    assert_equal(everything(trainer), expected, ignore=("changes",))


def test_each_replay_draws_new_noise_that_equals_the_noise_on_the_cpu(xp: Any, name: str) -> None:
    mg.manual_seed(5)
    x = mg.Tensor(xp.zeros(1, np.float32))
    step = Captured(lambda _: {"u": mg.rand((), name), "n": mg.randn((), name), "after": mg.rand((9,), name)[8]})
    drawn = as_numbers([step(x) for _ in range(STEPS)])
    counter = random.default_generator.counter
    mg.manual_seed(5)
    on_cpu = [[mg.rand(()).item(), mg.randn(()).item(), mg.rand((9,)).data[8].item()] for _ in range(STEPS)]
    assert counter == random.default_generator.counter
    for key, column in zip(("u", "n", "after"), zip(*on_cpu, strict=True), strict=True):
        np.testing.assert_allclose([row[key] for row in drawn], column, rtol=1e-5 if key == "n" else 0)
    assert len({value for row in drawn for value in row.values()}) == 3 * STEPS
    mg.manual_seed(5)  # a replay draws from the current position of the stream
    assert as_numbers([step(x)])[0] == drawn[0]


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: optim.Adam(params, lr=0.1, betas=(0.5, 0.9)),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.1),
}


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_may_step_twice_in_a_captured_step_and_uses_the_current_learning_rate(
    name: str, make_optimizer: Any
) -> None:
    """The two steps have different bias corrections, and the learning rate changes between replays."""
    ends = []
    for backend_name, way in ((name, Captured), ("numpy", lambda step: step)):
        p = mg.Tensor(np.array([1.0, -2.0, 3.0])).to(backend_name)
        p.requires_grad = True
        optimizer = make_optimizer([p])

        def twice(x: mg.Tensor, p: mg.Tensor = p, optimizer: optim.Optimizer = optimizer) -> dict[str, mg.Tensor]:
            for _ in range(2):
                loss = ((p - x) ** 2).sum()
                optimizer.step(mg.grad(loss, [p]))
            return {"loss": loss}

        step, ways = way(twice), []
        for i in range(STEPS):
            optimizer.lr = 0.1 / (i + 1)
            step(mg.Tensor(np.full(3, float(i))).to(backend_name))
            ways.append(p.numpy().copy())
        assert optimizer.steps == 2 * STEPS
        assert p.changes == [2 * STEPS]
        ends.append(ways)
    np.testing.assert_allclose(*ends, rtol=1e-12)


def input_as_gradient(optimizer: optim.Optimizer) -> Captured:
    def step(x: mg.Tensor) -> dict[str, mg.Tensor]:
        optimizer.step([x])
        return {"x": x[0]}

    return Captured(step)


def test_non_finite_gradients_in_replays_are_counted_on_the_gpu_and_skipped(xp: Any, name: str) -> None:
    if name == "numpy":
        pytest.skip("on the CPU the first one raises at once; the next test covers it")
    p = mg.Tensor(xp.ones(3), requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    step = input_as_gradient(optimizer)
    good = mg.Tensor(xp.zeros(3))
    for _ in range(STEPS):
        step(good)
    optimizer.check()
    step(mg.Tensor(xp.array([1.0, np.nan, 2.0])))
    step(good)
    step(mg.Tensor(xp.array([0.0, np.inf, 0.0])))
    with pytest.raises(optim.BadGradient, match=r"parameter 0 \(3,\) has 2 NaN or infinite of 3 elements, added up over"):
        optimizer.check()
    optimizer.check()
    assert p.numpy().tolist() == [0.0, 1.0, -1.0]


def test_a_non_finite_gradient_in_a_replay_raises_at_once_on_the_cpu_and_is_skipped() -> None:
    p = mg.Tensor(np.ones(3), requires_grad=True)
    step = input_as_gradient(optim.SGD([p], lr=1.0))
    for _ in range(STEPS):
        step(mg.Tensor(np.zeros(3)))
    with pytest.raises(optim.BadGradient, match=r"parameter 0 \(3,\) has 1 NaN or infinite of 3 elements$"):
        step(mg.Tensor(np.array([1.0, np.nan, 2.0])))
    assert p.numpy().tolist() == [0.0, 1.0, -1.0]
    step(mg.Tensor(np.array([0.0, 1.0, 0.0])))
    assert p.numpy().tolist() == [0.0, 0.0, -1.0]


def assigning(p: mg.Tensor) -> Captured:
    return Captured(lambda x: p.assign(p.detach() * x) or {"x": x.sum()})


@pytest.mark.parametrize(
    "changing", [lambda p: input_as_gradient(optim.SGD([p], lr=1.0)), assigning], ids=["optimizer", "assign"]
)
def test_a_graph_built_before_a_replay_is_stale_after_it(xp: Any, changing: Callable[[mg.Tensor], Captured]) -> None:
    p = mg.Tensor(xp.ones(3), requires_grad=True)
    step = changing(p)
    for _ in range(STEPS):
        step(mg.Tensor(xp.zeros(3)))
    loss = (p * p).sum()
    step(mg.Tensor(xp.ones(3)))
    with pytest.raises(RuntimeError, match="changed in place"):
        mg.grad(loss, [p])


def test_results_of_a_captured_step_survive_later_replays(xp: Any) -> None:
    step = Captured(lambda x: {"twice": x * 2, "half": (x / 2).sum()})
    rows = [step(mg.Tensor(xp.full((1,), float(i), np.float32))) for i in range(20)]
    assert as_numbers(rows) == [{"twice": 2.0 * i, "half": i / 2} for i in range(20)]


def test_an_array_kept_by_one_captured_step_is_not_overwritten_by_another(xp: Any, name: str) -> None:
    kept: list[mg.Tensor] = []

    def keeping(x: mg.Tensor) -> dict[str, mg.Tensor]:
        if not kept:
            kept.append(mg.Tensor(np.ones(7)).to(name))
        return {"y": (x * kept[0]).sum()}

    first, second = Captured(lambda x: {"y": F.tanh(x * 2).sum()}), Captured(keeping)
    x = mg.Tensor(xp.asarray(np.linspace(0, 1, 7)))
    for _ in range(STEPS):
        first(x)
    for _ in range(STEPS):
        found = as_numbers([second(x), first(x)])
        np.testing.assert_allclose([row["y"] for row in found], [3.5, np.tanh(np.linspace(0, 2, 7)).sum()], rtol=1e-12)


REFUSED: dict[str, Any] = {
    "item": lambda x: mg.Tensor(x.data * x.data.sum().item()),
    "mask": lambda x: mg.Tensor(x.data[x.data > 0].sum()),
    "an operation that one backend refuses": lambda x: (
        mg.Tensor(x.data @ x.data) if backend.is_gpu(x.data) else mg.Tensor(np.full(3, x.data[0]))
    ),
}


@pytest.mark.parametrize("function", REFUSED.values(), ids=REFUSED)
def test_a_step_that_cannot_be_captured_runs_op_by_op_and_warns_why(xp: Any, name: str, function: Any) -> None:
    p = mg.Tensor(xp.ones(3), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)

    def make_step(x: mg.Tensor) -> dict[str, mg.Tensor]:
        u = mg.rand((), name).astype(np.float64)
        optimizer.step(mg.grad((p * x * u).sum(), [p]))
        return {"y": function(p.detach() * x).sum()}

    step, x = Captured(make_step), mg.Tensor(xp.full((3,), -1.0))
    mg.manual_seed(0)
    for _ in range(WARM_UP):
        step(x)
    with pytest.warns(RuntimeWarning, match=r"this step cannot be captured and runs op by op \(.+\)"):
        step(x)
    step(x)
    assert optimizer.steps == random.default_generator.counter == WARM_UP + 2
    mg.manual_seed(0)
    total = sum(mg.rand(()).item() for _ in range(WARM_UP + 2))
    np.testing.assert_allclose(p.numpy(), 1 + 0.5 * total, rtol=1e-6)
    assert not hooks.capturing()


def test_a_step_that_sets_the_learning_rate_outside_on_host_is_not_captured(xp: Any) -> None:
    p = mg.Tensor(xp.ones(3), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)

    def make_step(x: mg.Tensor) -> dict[str, mg.Tensor]:
        optimizer.lr = optimizer.lr / 2
        optimizer.step([x])
        return {"x": x.sum()}

    step, x = Captured(make_step), mg.Tensor(xp.ones(3))
    for _ in range(WARM_UP):
        step(x)
    with pytest.warns(RuntimeWarning, match=r"SGD: lr is set in a step that is being captured.*hooks\.on_host"):
        step(x)
    step(x)
    assert optimizer.lr == 0.5 ** (WARM_UP + 3)


def test_an_input_of_another_shape_is_refused(xp: Any) -> None:
    step = Captured(lambda x: {"y": x.sum()})
    for _ in range(STEPS):
        step(mg.Tensor(xp.ones(3)))
    with pytest.raises(ValueError, match=r"captured with inputs \(3,\) float64, and is given \(4,\) float64"):
        step(mg.Tensor(xp.ones(4)))


def test_wrong_inputs_are_refused_before_a_replay_changes_anything(xp: Any) -> None:
    p = mg.Tensor(xp.zeros(3))
    step = Captured(lambda x, y: p.assign(p + x) or {"y": y.sum()})
    x, y = mg.Tensor(xp.ones(3)), mg.Tensor(xp.ones(2))
    for _ in range(STEPS):
        step(x, y)
    with pytest.raises(ValueError, match=r"captured with inputs \(3,\) float64, \(2,\) float64, and is given \(3,\) float64$"):
        step(x)
    with pytest.raises(TypeError, match=r"a captured step takes tensors, not Tensor, float"):
        step(x, 1.0)
    assert p.numpy().tolist() == [STEPS] * 3 and p.changes == [STEPS]


def test_detect_anomaly_works_for_captured_steps(xp: Any) -> None:
    step = Captured(lambda x: {"y": F.log(x).sum()})
    for _ in range(STEPS):
        step(mg.Tensor(xp.ones(3)))
    with pytest.raises(FloatingPointError, match=r"Log\(x \(3,\)\) gave 3 NaN"), mg.detect_anomaly(), np.errstate(all="ignore"):
        step(mg.Tensor(-xp.ones(3)))
    assert step(mg.Tensor(xp.ones(3)))["y"].item() == 0


def test_a_failing_step_can_be_repeated_eagerly_under_detect_anomaly(name: str) -> None:
    trainer = make("mnist_gan", name)
    (batch,) = batches(trainer, 1)
    step = captured(trainer)
    for _ in range(STEPS):
        step(*batch)
    batch[0].data[0, 0, 3, 3] = np.nan
    if name == "cupy":  # the GPU only counts; `check` reads the counts
        step(*batch)
    look = trainer.optimizers()["d_optimizer"].check if name == "cupy" else lambda: step(*batch)
    with pytest.raises(FloatingPointError, match="gradient of parameter"), np.errstate(all="ignore"):
        look()
    with pytest.raises(FloatingPointError, match=r"Concatenate\(.* gave 1 NaN"), mg.detect_anomaly():
        trainer.step(*batch)


@pytest.mark.parametrize("result", [mg.Tensor(1.0), None, {"loss": 1.0}], ids=["tensor", "none", "numbers"])
def test_a_step_that_does_not_return_tensors_by_name_is_refused_at_its_first_call(result: Any) -> None:
    with pytest.raises(TypeError, match="a captured step returns a dictionary of tensors"):
        Captured(lambda x: result)(mg.Tensor([1.0]))
