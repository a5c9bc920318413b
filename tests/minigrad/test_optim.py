"""Optimizers: PyTorch's values, fast kernels against the reference, non-finite gradients, and resuming from a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import optim_cases
from reference.optim_cases import SETTINGS, run_minigrad, run_torch

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu.loops import PARALLEL_FROM
from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers

RECORDED = Path(optim_cases.__file__).parent / "optim.safetensors"
each_setting = pytest.mark.parametrize("name", SETTINGS)

Make = Callable[[list[Tensor]], optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "SGD with momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: optim.Adam(params, lr=0.1, betas=(0.5, 0.9)),
    "AdamW": lambda params: optim.AdamW(params, lr=0.1, weight_decay=0.2),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.1, alpha=0.9),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


class TestAgainstPyTorch:
    @each_setting
    def test_a_hundred_steps_equal_the_recorded_ones(self, name: str) -> None:
        np.testing.assert_allclose(run_minigrad(SETTINGS[name]), mg.load(RECORDED)[name], rtol=1e-12, atol=1e-14)

    @each_setting
    def test_a_hundred_steps_equal_those_of_an_installed_torch(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns while it is imported
            pytest.importorskip("torch")
            theirs = run_torch(SETTINGS[name])
        np.testing.assert_allclose(run_minigrad(SETTINGS[name]), theirs, rtol=1e-12, atol=1e-14)

    def test_different_settings_give_different_parameters(self) -> None:
        ends = [run_minigrad(setting)[-1] for setting in SETTINGS.values()]
        assert all(not np.allclose(a, b, rtol=1e-6) for i, a in enumerate(ends) for b in ends[:i])


SIZES = [(), (1,), (3, 5), (PARALLEL_FROM - 1,), (PARALLEL_FROM + 3,)]
KERNELS: dict[str, tuple[int, tuple[float, ...]]] = {  # state arrays, and numbers
    "sgd": (1, SGDNumbers(lr=0.1, momentum=0.9, decay=0.01)),
    "adam": (2, AdamNumbers(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=3, decay=0.01, keep=0.9)),
    "rmsprop": (1, RMSpropNumbers(lr=0.1, alpha=0.9, eps=1e-8, decay=0.01)),
}


class TestKernels:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("kernel", KERNELS)
    def test_the_fast_kernels_equal_the_reference(self, kernel: str, dtype: Any) -> None:
        """On one and on all threads, with a few bad elements in each gradient."""
        states, numbers = KERNELS[kernel]
        rng = np.random.default_rng(0)
        lists = [[np.asarray(rng.standard_normal(s), dtype) for s in SIZES] for _ in range(2 + states)]
        for state in lists[2:]:
            for a in state:
                np.abs(a, out=a)
        expected_bad = [0, 1, 2, 3, 3]
        for g, count in zip(lists[1], expected_bad, strict=True):
            if count:
                g.reshape(-1)[[0, -2, -1][:count]] = [np.nan, np.inf, -np.inf][:count]
        fast, slow = ([[a.copy() for a in each] for each in lists] for _ in range(2))
        found = np.ones((2, len(SIZES)), np.int32)  # the kernels add their counts
        with np.errstate(all="ignore"):
            getattr(reference, kernel)(*slow, lambda: numbers, found[0])
        getattr(cpu, kernel)(*fast, lambda: numbers, found[1])
        assert found.tolist() == 2 * [[1 + count for count in expected_bad]]
        rtol = 1e-13 if dtype == np.float64 else 2e-6
        for fast_arrays, slow_arrays in zip(fast, slow, strict=True):
            for a, b in zip(fast_arrays, slow_arrays, strict=True):
                np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
        for untouched, g in zip(fast[1], lists[1], strict=True):
            np.testing.assert_array_equal(untouched, g)

    def test_large_arrays_are_updated_exactly_as_small_ones(self) -> None:
        """Bit for bit: splitting the work among threads changes no result."""
        size = PARALLEL_FROM
        rng = np.random.default_rng(1)
        arrays = [rng.standard_normal(size).astype(np.float32) for _ in range(3)] + [np.ones(size, np.float32)]
        whole = [[a.copy()] for a in arrays]
        halves = [[a[: size // 2].copy(), a[size // 2 :].copy()] for a in arrays]
        numbers = AdamNumbers(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=2)
        cpu.adam(*whole, lambda: numbers, np.zeros(1, np.int32))
        cpu.adam(*halves, lambda: numbers, np.zeros(2, np.int32))
        for (a,), parts in zip(whole, halves, strict=True):
            np.testing.assert_array_equal(a, np.concatenate(parts))


def leaves() -> list[Tensor]:
    return [Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True), Tensor(np.array([5.0, 6.0]), requires_grad=True)]


def ones() -> list[Tensor]:
    return [Tensor(np.ones((2, 2))), Tensor(np.ones(2))]


class TestStep:
    @each_optimizer
    def test_a_gradient_may_have_any_memory_layout(self, make: Make) -> None:
        g = np.arange(1.0, 5.0).reshape(2, 2)
        wide = np.zeros((4, 4))
        wide[::2, ::2] = g
        frozen = g.copy()
        frozen.flags.writeable = False
        ends = []
        for layout in (g, np.asfortranarray(g), wide[::2, ::2], frozen):
            params = leaves()[:1]
            make(params).step([Tensor(layout)])
            ends.append(params[0].data)
        assert all(np.array_equal(end, ends[0]) for end in ends)
        assert not np.array_equal(ends[0], leaves()[0].data)

    @each_optimizer
    def test_without_arguments_step_uses_dot_grad(self, make: Make) -> None:
        given, left = leaves(), leaves()
        make(given).step(mg.grad((given[0] * given[1]).sum(), given))
        optimizer = make(left)
        (left[0] * left[1]).sum().backward()
        optimizer.step()
        for a, b in zip(given, left, strict=True):
            np.testing.assert_array_equal(a.data, b.data)
        optimizer.zero_grad()
        with pytest.raises(ValueError, match=r"no parameter has a \.grad; call loss\.backward\(\) first"):
            optimizer.step()

    @each_optimizer
    def test_float32_parameters_stay_float32_and_in_place(self, make: Make) -> None:
        p = Tensor(np.ones(3, np.float32), requires_grad=True)
        array = p.data
        make([p]).step([Tensor(np.ones(3, np.float32))])
        assert p.data is array
        assert p.dtype == np.float32
        assert array[0] < 1

    @each_optimizer
    def test_the_learning_rate_can_be_changed_between_steps(self, make: Make) -> None:
        params = leaves()
        optimizer = make(params)
        optimizer.lr = 0.0
        optimizer.step(ones())
        for p, start in zip(params, leaves(), strict=True):
            np.testing.assert_array_equal(p.data, start.data)

    def test_stepping_one_network_leaves_the_other_unchanged(self) -> None:
        g, d = leaves()
        optim.SGD([g], lr=0.1).step(mg.grad((g * d).sum(), [g]))
        np.testing.assert_array_equal(d.data, leaves()[1].data)

    def test_gradients_of_other_shapes_or_number_are_refused(self) -> None:
        optimizer = optim.SGD(leaves())
        with pytest.raises(
            ValueError, match=r"SGD: the gradients' shapes \[\(2,\), \(2, 2\)\] are not the parameters' \[\(2, 2\)"
        ):
            optimizer.step(ones()[::-1])
        with pytest.raises(ValueError, match="shapes"):
            optimizer.step(ones()[:1])
        assert optimizer.steps == 0


class TestBadGradients:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @each_optimizer
    def test_a_non_finite_gradient_raises_and_its_elements_are_skipped(self, make: Make, value: float) -> None:
        params, good = leaves(), leaves()
        optimizer, twin = make(params), make(good)
        optimizer.step(ones())
        twin.step(ones())
        before = params[1].data.copy()
        state = {key: a.copy() for key, a in optimizer.state_dict().items()}
        gradients = ones()
        gradients[1].data[0] = value
        with pytest.raises(optim.BadGradient, match=r"parameter 1 \(2,\) has 1 NaN or infinite of 2 elements") as caught:
            optimizer.step(gradients)
        twin.step(ones())
        assert caught.value.parameter is params[1]
        assert isinstance(caught.value, FloatingPointError)
        assert params[1].data[0] == before[0]
        for key, a in optimizer.state_dict().items():
            if key.endswith(".1"):
                assert a[0] == state[key][0]
        np.testing.assert_array_equal(params[0].data, good[0].data)
        assert params[1].data[1] == good[1].data[1]


class TestState:
    @each_optimizer
    def test_a_resumed_run_continues_bit_for_bit(self, make: Make, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        gradients = [[Tensor(rng.standard_normal(p.shape)) for p in leaves()] for _ in range(10)]
        params = leaves()
        straight = make(params)
        for each in gradients[:5]:
            straight.step(each)
        mg.save(tmp_path / "optimizer.safetensors", straight.state_dict())
        resumed_params = [Tensor(p.data.copy(), requires_grad=True) for p in params]
        resumed = make(resumed_params)
        resumed.load_state_dict(mg.load(tmp_path / "optimizer.safetensors"))
        assert resumed.steps == 5
        for each in gradients[5:]:
            straight.step(each)
            resumed.step(each)
        for a, b in zip(params, resumed_params, strict=True):
            np.testing.assert_array_equal(a.data, b.data)

    def test_names_of_the_state(self) -> None:
        assert list(optim.Adam(leaves()).state_dict()) == ["steps", "first.0", "first.1", "second.0", "second.1"]

    def test_a_state_of_another_optimizer_or_network_changes_nothing(self) -> None:
        optimizer = optim.Adam(leaves())
        optimizer.step(ones())
        before = {key: a.copy() for key, a in optimizer.state_dict().items()}
        others = [optim.SGD(leaves()), optim.Adam(leaves()[:1]), optim.Adam(leaves()[::-1])]
        for other in others:
            with pytest.raises(ValueError, match="Adam: the saved state is of another optimizer or other parameters"):
                optimizer.load_state_dict(other.state_dict())
        for key, a in optimizer.state_dict().items():
            np.testing.assert_array_equal(a, before[key])


BAD_ARGUMENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "no parameters": (lambda: optim.SGD([]), "SGD: there are no parameters"),
    "lr below 0": (lambda: optim.Adam(leaves(), lr=-1e-3), "Adam: lr is -0.001; it must be 0 or more"),
    "lr NaN": (lambda: optim.SGD(leaves(), lr=float("nan")), "SGD: lr is nan"),
    "momentum 1": (lambda: optim.SGD(leaves(), momentum=1.0), r"SGD: momentum is 1\.0; it must be in \[0, 1\)"),
    "beta 1": (lambda: optim.Adam(leaves(), betas=(0.9, 1.0)), r"Adam: betas are \(0\.9, 1\.0\)"),
    "beta below 0": (lambda: optim.Adam(leaves(), betas=(-0.1, 0.9)), "Adam: betas"),
    "alpha above 1": (lambda: optim.RMSprop(leaves(), alpha=1.5), r"RMSprop: alpha is 1\.5"),
    "gaps in memory": (
        lambda: optim.SGD([Tensor(np.ones((4, 4))[:, ::2], requires_grad=True)]),
        r"SGD: parameter 0 \(4, 2\) has gaps in memory",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(leaves(), None), "SGD: lr is None; it must be a number, or a function"),  # type: ignore[arg-type]
        (lambda: optim.Adam(leaves(), "0.1"), "Adam: lr is '0.1'"),  # type: ignore[arg-type]
        (lambda: optim.Adam(leaves(), betas=0.9), "Adam: betas are 0.9; they must be two numbers"),  # type: ignore[arg-type]
        (lambda: optim.AdamW(leaves(), betas=(0.9, 0.99, 0.999)), "AdamW: betas are"),  # type: ignore[arg-type]
        (lambda: optim.Adam(leaves(), betas=("0.9", 0.999)), "Adam: beta 1 is '0.9'; it must be a number"),  # type: ignore[arg-type]
        (lambda: optim.SGD(leaves(), momentum=None), "SGD: momentum is None"),  # type: ignore[arg-type]
        (lambda: optim.RMSprop(leaves(), eps="1e-8"), "RMSprop: eps is '1e-8'"),  # type: ignore[arg-type]
        (lambda: optim.SGD(leaves(), weight_decay=None), "SGD: weight_decay is None"),  # type: ignore[arg-type]
        (lambda: optim.SGD(nn.Linear(2, 3).parameters), r"SGD takes tensors, not a method; write net\.parameters\(\)"),  # type: ignore[arg-type]
        (lambda: optim.Adam(nn.Linear(2, 3)), r"Adam takes tensors, not a Linear; write net\.parameters\(\)"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_another_type_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("number", [np.float64(0.5), np.array(0.5), Tensor(0.5), np.bool_(True), 0], ids=repr)
def test_any_kind_of_number_is_a_learning_rate(number: Any) -> None:
    p = Tensor([1.0], requires_grad=True)
    optim.SGD([p], number).step([Tensor([1.0])])
    assert p.item() == 1 - float(number)


def test_the_betas_may_be_any_two_numbers() -> None:
    for betas in ([0.5, 0.9], np.array([0.5, 0.9]), {"a": 0.5, "b": 0.9}.values()):
        optimizer = optim.Adam(leaves(), betas=betas)  # type: ignore[arg-type]
        assert optimizer.betas == (0.5, 0.9)


def test_parameters_whose_layout_or_dtype_has_changed_are_refused() -> None:
    p = nn.Parameter(np.zeros((3, 3)))
    optimizer = optim.Adam([p])
    p.data = np.zeros((3, 3))[:, ::-1]
    with pytest.raises(ValueError, match=r"Adam: parameter 0 \(3, 3\) has gaps in memory"):
        optimizer.step([Tensor(np.ones((3, 3)))])
    p.data = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="changed its dtype or backend"):
        optimizer.step([Tensor(np.ones((3, 3)))])


class TestParametersAndGradients:
    @each_optimizer
    def test_a_parameter_given_twice_is_refused(self, make: Make) -> None:
        x, y = leaves()
        with pytest.raises(ValueError, match=r"parameter 2 \(2, 2\) is parameter 0 again; a step would update it twice"):
            make([x, y, x])

    def test_parameter_groups_are_refused_in_words(self) -> None:
        with pytest.raises(TypeError, match="there are no parameter groups; make one optimizer for each group"):
            optim.Adam([{"params": leaves()}])  # type: ignore[list-item]

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
    def test_parameters_that_are_frozen_or_without_grad_are_skipped_as_in_pytorch(self, name: str) -> None:
        """Each parameter counts its own steps, which matters to Adam's bias correction; a resumed optimizer goes on equally."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns while it is imported
            torch = pytest.importorskip("torch")
        rng = np.random.default_rng(0)
        start = rng.standard_normal((3, 4))
        ours = [Tensor(row.copy(), requires_grad=True) for row in start]
        theirs = [torch.tensor(row, requires_grad=True) for row in start]
        optimizer, other = getattr(optim, name)(ours, lr=0.1), getattr(torch.optim, name)(theirs, lr=0.1)
        for step in range(8):
            for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
                g = rng.standard_normal(4)
                p.grad, q.grad = (None, None) if i == 1 and step in (0, 1, 5) else (g, torch.tensor(g))
            if step == 4:
                saved = optimizer.state_dict()
                optimizer = getattr(optim, name)(ours, lr=0.1)
                optimizer.load_state_dict(saved)
            ours[2].requires_grad = step > 2
            if step <= 2:
                theirs[2].grad = None
            optimizer.step()
            other.step()
            for p, q in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12)

    def test_weight_decay_is_negative_never(self) -> None:
        with pytest.raises(ValueError, match="weight_decay is -1; it must be 0 or more"):
            optim.AdamW(leaves(), weight_decay=-1)


class TestClipping:
    @pytest.mark.parametrize("largest", [1e-3, 1.0, 1e3])
    def test_gradients_and_their_norm_equal_those_of_pytorch(self, largest: float) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns while it is imported
            torch = pytest.importorskip("torch")
        gradients = [np.arange(6.0).reshape(2, 3), np.array([-7.0])]
        ours = [Tensor(np.zeros(g.shape), requires_grad=True) for g in gradients]
        theirs = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
        for p, q, g in zip(ours, theirs, gradients, strict=True):
            p.grad, q.grad = g.copy(), torch.tensor(g)
        norm = optim.clip_grad_norm_([*ours, Tensor(1.0)], largest)
        assert norm.item() == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, largest).item(), rel=1e-14)
        for p, q, g in zip(ours, theirs, optim.clip_grad_norm([Tensor(g) for g in gradients], largest), strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-14)
            np.testing.assert_array_equal(p.grad, g.data)

    def test_without_gradients_the_norm_is_a_float32_zero(self) -> None:
        norm = optim.clip_grad_norm_([Tensor([1.0, 2.0], requires_grad=True)], 1.0)
        assert (norm.item(), norm.dtype, norm.shape) == (0.0, np.float32, ())
        assert optim.clip_grad_norm([], 1.0) == []

    @pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
    def test_one_tensor_is_not_taken_for_its_rows(self, kind: Callable[..., Any]) -> None:
        p = Tensor([[1.0], [2.0]], requires_grad=True)
        for call in (lambda: kind(p), lambda: optim.clip_grad_norm_(p, 1.0), lambda: optim.clip_grad_norm(p, 1.0)):
            with pytest.raises(TypeError, match=r"takes several tensors; write \[p\] for one"):
                call()

    def test_float32_stays_float32(self) -> None:
        (g,) = optim.clip_grad_norm([Tensor([3.0, 4.0])], 1.0)
        assert g.dtype == np.float32


class TestSchedules:
    """A schedule is a function of the number of steps taken: the rates equal those that PyTorch's schedulers set."""

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (optim.linear_decay(0.3, 10), lambda s, o: s.LinearLR(o, 1.0, 0.0, 10)),
            (optim.linear_decay(0.3, 10, start=4), lambda s, o: s.LambdaLR(o, lambda i: min(1.0, max(10 - i, 0) / 6))),
            (optim.cosine_decay(0.3, 10, end=0.01), lambda s, o: s.CosineAnnealingLR(o, 10, 0.01)),
            (optim.step_decay(0.3, 4, 0.5), lambda s, o: s.StepLR(o, 4, 0.5)),
        ],
        ids=["linear", "linear from 4", "cosine", "step"],
    )
    def test_steps_equal_those_of_pytorch(self, ours: Any, theirs: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns while it is imported
            torch = pytest.importorskip("torch")
        p, q = Tensor(np.ones(2), requires_grad=True), torch.ones(2, dtype=torch.float64, requires_grad=True)
        optimizer, other = optim.SGD([p], lr=ours), torch.optim.SGD([q], lr=0.3)
        scheduler = theirs(torch.optim.lr_scheduler, other)
        for _ in range(10):
            assert optimizer.lr == pytest.approx(other.param_groups[0]["lr"], rel=1e-9, abs=1e-17)
            optimizer.step([Tensor(np.ones(2))])
            q.grad = torch.ones(2, dtype=torch.float64)
            other.step()
            scheduler.step()
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-9)

    def test_a_schedule_is_followed_in_captured_steps_and_after_resuming(self) -> None:
        def run(captured: bool) -> np.ndarray:
            p = Tensor(np.ones(2, np.float32), requires_grad=True)
            optimizer = optim.AdamW([p], lr=optim.cosine_decay(0.1, 12), weight_decay=0.5)

            def step(x: Tensor) -> dict[str, Tensor]:
                loss = (p * x).sum()
                optimizer.step(optim.clip_grad_norm(mg.grad(loss, [p]), 0.5))
                return {"loss": loss}

            run_step = mg.Captured(step) if captured else step
            for i in range(10):
                run_step(Tensor(np.float32([i, 1])))
                if i == 7 and not captured:
                    saved = optimizer.state_dict()
                    optimizer = optim.AdamW([p], lr=optim.cosine_decay(0.1, 12), weight_decay=0.5)
                    optimizer.load_state_dict(saved)
            return p.data

        np.testing.assert_array_equal(run(captured=True), run(captured=False))


class TestWrongKinds:
    def test_a_computed_tensor_is_no_parameter(self) -> None:
        with pytest.raises(ValueError, match=r"SGD: parameter 0 \(2,\) was computed"):
            optim.SGD([2 * Tensor([1.0, 2.0], requires_grad=True)])

    def test_gradients_that_are_no_tensors_are_named_before_anything_changes(self) -> None:
        p = nn.Parameter([1.0, 2.0])
        optimizer = optim.SGD([p], lr=1.0)
        for wrong, kind in ((None, "NoneType"), (np.ones(2), "ndarray")):
            with pytest.raises(TypeError, match=f"SGD: gradient 0 is of type {kind}, not a Tensor"):
                optimizer.step([wrong])  # type: ignore[list-item]
            with pytest.raises(TypeError, match=f"clip_grad_norm: gradient 0 is of type {kind}"):
                optim.clip_grad_norm([wrong], 1.0)  # type: ignore[list-item]
        assert optimizer.steps == 0

    def test_grad_may_hold_a_tensor(self) -> None:
        p = nn.Parameter([1.0, 2.0])
        p.grad = Tensor([3.0, 4.0])
        assert optim.clip_grad_norm_([p], 10.0).item() == 5
        p.grad = Tensor([3.0, 4.0])
        optim.SGD([p], lr=1.0).step()
        np.testing.assert_array_equal(p.data, [-2.0, -2.0])
