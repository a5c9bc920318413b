"""Normalisation: correct derivatives up to third order, from kernels and from formulas, and arguments as in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor
from minigrad.arrays.layout import channels_last
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.kernels import cpu
from minigrad.ops.norm import Normalize

Function = Callable[..., Tensor]


def in_training(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    return F.batch_norm(x, None, None, weight, bias, training=True)


def over_the_last_axis(x: Tensor, *weights: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], *weights)


# function, shape of x, length of weight and bias
NORMS = {
    "batch norm of rows": (in_training, (6, 3), 3),
    "batch norm of images": (in_training, (3, 2, 2, 3), 2),
    "instance norm": (F.instance_norm, (2, 3, 2, 3), 3),
    "layer norm": (over_the_last_axis, (2, 3, 5), 5),
}
each_norm = pytest.mark.parametrize(("f", "shape", "channels"), NORMS.values(), ids=NORMS)


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def inputs(shape: tuple[int, ...], channels: int, dtype: Any = np.float64) -> list[Tensor]:
    """x, weight and bias."""
    arrays = normal(*shape, dtype=dtype), normal(channels, seed=1, dtype=dtype), normal(channels, seed=2, dtype=dtype)
    return [Tensor(a, requires_grad=True) for a in arrays]


@each_norm
def test_first_and_second_derivatives(f: Function, shape: tuple[int, ...], channels: int) -> None:
    gradcheck(f, inputs(shape, channels))
    gradgradcheck(f, inputs(shape, channels))


@each_norm
def test_third_derivatives(f: Function, shape: tuple[int, ...], channels: int) -> None:
    """Second derivatives, differentiated once more by finite differences."""
    g, v = Tensor(normal(*shape, seed=3)), Tensor(normal(*shape, seed=4))

    def second_derivatives(*xs: Tensor) -> Tensor:
        (slope,) = mg.grad((f(*xs) * g).sum(), xs[:1], create_graph=True)
        by_x, by_weight = mg.grad((slope * v).sum(), xs[:2], create_graph=True)
        return F.concatenate([F.flatten(by_x), F.flatten(by_weight)])

    gradcheck(second_derivatives, inputs(shape, channels), tolerance=1e-5, h=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@each_norm
def test_kernels_and_formulas_agree(f: Function, shape: tuple[int, ...], channels: int, dtype: Any, offset: float) -> None:
    xs = inputs(shape, channels, dtype)
    xs[0].data += offset
    g = Tensor(normal(*shape, seed=3, dtype=dtype))
    by_kernels = mg.grad(f(*xs), xs, g)
    by_formula = mg.grad(f(*xs), xs, g, create_graph=True)
    for fused, formula in zip(by_kernels, by_formula, strict=True):
        assert fused.dtype == formula.dtype == dtype
        assert not fused.requires_grad
        allowed = (100 + 4 * offset) * np.finfo(dtype).eps  # the kernels' mean is rounded to x's type
        np.testing.assert_allclose(fused.data, formula.data, rtol=allowed, atol=allowed)


@each_norm
def test_values_and_derivatives_of_both_orders_equal_pytorch(f: Function, shape: tuple[int, ...], channels: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns while it is imported
        torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs_of = {
        in_training: lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True),
        F.instance_norm: lambda x, w, b: functional.instance_norm(x, weight=w, bias=b),
        over_the_last_axis: lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b),
    }
    ours = inputs(shape, channels)
    theirs = [torch.tensor(t.data, requires_grad=True) for t in ours]
    g = normal(*shape, seed=3)
    results = []
    for grad, y, xs, make in (
        (mg.grad, f(*ours), ours, Tensor),
        (torch.autograd.grad, theirs_of[f](*theirs), theirs, torch.tensor),
    ):
        first = grad(y, xs, make(g), create_graph=True)
        slope = first[0]
        second = grad((slope * slope * slope).sum(), xs[:2])
        results.append([np.asarray(t.detach()) for t in (y, *first, *second)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", [(4096, 6), (16, 6, 16, 16), (1, 6, 64, 64)])
def test_data_far_from_zero_is_normalised_accurately_in_float32(shape: tuple[int, ...]) -> None:
    """Offset 1000 and standard deviation 1: E[x^2] - E[x]^2 would leave no digit of the variance."""
    x = 1000 + normal(*shape, dtype=np.float32)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    exact = x.astype(np.float64)
    center, var = exact.mean(axes, keepdims=True), exact.var(axes, keepdims=True)
    expected = (exact - center) / np.sqrt(var + 1e-5)
    running = Tensor(np.zeros(6, np.float32)), Tensor(np.zeros(6, np.float32))
    y = F.batch_norm(Tensor(x), *running, training=True, momentum=1.0)
    np.testing.assert_allclose(y.data, expected, atol=6e-5)  # 1000 itself is rounded to 3e-5 in float32
    np.testing.assert_allclose(running[0].data, center.reshape(-1), rtol=1e-7)
    np.testing.assert_allclose(running[1].data, exact.var(axes, ddof=1), rtol=1e-6)
    if x.ndim == 4:
        np.testing.assert_allclose(
            F.instance_norm(Tensor(x)).data,
            (exact - exact.mean((2, 3), keepdims=True)) / np.sqrt(exact.var((2, 3), keepdims=True) + 1e-5),
            atol=6e-5,
        )


class TestLayout:
    def test_images_in_channels_last_memory_are_not_copied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernels get the memory of x and of the cotangent, and their results are channels-last."""
        x = Tensor(channels_last(normal(2, 3, 4, 5)), requires_grad=True)
        g = Tensor(channels_last(normal(2, 3, 4, 5, seed=1)))

        def watch(name: str, expected: list[Tensor]) -> None:
            kernel = getattr(cpu, name)

            def spy(*args: Any) -> Any:
                for given, tensor in zip(args, expected, strict=False):
                    assert given.flags.c_contiguous
                    assert np.shares_memory(given, tensor.data)
                calls.append(name)
                return kernel(*args)

            monkeypatch.setattr(cpu, name, spy)

        calls: list[str] = []
        watch("normalize", [x])
        watch("normalize_sums", [g, x])
        watch("normalize_backward", [g, x])
        for f in (in_training, F.instance_norm):
            y = f(x)
            (dx,) = mg.grad(y, [x], g)
            for out in (y, dx):
                assert out.data.transpose(0, 2, 3, 1).flags.c_contiguous
        assert calls == ["normalize", "normalize_sums", "normalize_backward"] * 2

    def test_the_formula_keeps_channels_last_too(self) -> None:
        x = Tensor(channels_last(normal(2, 3, 4, 5)), requires_grad=True)
        (dx,) = mg.grad(F.instance_norm(x), [x], Tensor(channels_last(normal(2, 3, 4, 5, seed=1))), create_graph=True)
        assert dx.data.transpose(0, 2, 3, 1).flags.c_contiguous

    def test_evaluation_keeps_channels_last(self) -> None:
        x = Tensor(channels_last(normal(2, 3, 4, 5)))
        y = F.batch_norm(x, Tensor(np.zeros(3)), Tensor(np.ones(3)))
        assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous

    @pytest.mark.parametrize("f", [in_training, F.instance_norm])
    def test_every_layout_gives_the_same_bits(self, f: Function) -> None:
        values = normal(2, 3, 4, 5, dtype=np.float32)
        layouts = values, channels_last(values), np.asfortranarray(values), np.repeat(values, 2, axis=-1)[..., ::2]
        results = []
        for a in layouts:
            x = Tensor(a, requires_grad=True)
            y = f(x)
            results.append((y.data, mg.grad((y * y * y).sum(), [x])[0].data))
        for y, dx in results[1:]:
            np.testing.assert_array_equal(y, results[0][0])
            np.testing.assert_array_equal(dx, results[0][1])


def test_is_grad_enabled_is_false_inside_no_grad() -> None:
    assert mg.is_grad_enabled()
    with mg.no_grad():
        assert not mg.is_grad_enabled()


def test_the_sums_are_computed_once_for_all_gradients_and_then_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    plain = cpu.normalize_sums
    monkeypatch.setattr(cpu, "normalize_sums", lambda *args: calls.append(1) or plain(*args))
    xs = inputs((6, 3), 3)
    y = in_training(*xs)
    assert isinstance(y.op, Normalize)
    mg.grad(y, xs, Tensor(normal(6, 3)))
    assert len(calls) == 1
    assert y.op.sums is None


def test_backward_with_another_cotangent_does_not_reuse_the_sums() -> None:
    xs = inputs((6, 3), 3)
    op = Normalize(1e-5)
    op(*xs)
    with mg.no_grad():
        for seed in (1, 2):
            g = normal(6, 3, seed=seed)
            np.testing.assert_allclose(op.vjp(2, Tensor(g)).data, g.sum(axis=0))


class TestRunningStatistics:
    def test_they_move_by_the_momentum_towards_mean_and_unbiased_variance(self) -> None:
        mean, var = Tensor(np.full(3, 2.0)), Tensor(np.full(3, 3.0))
        x = normal(4, 3, 2, 2)
        F.batch_norm(Tensor(x), mean, var, training=True, momentum=0.25)
        np.testing.assert_allclose(mean.data, 0.75 * 2 + 0.25 * x.mean((0, 2, 3)))
        np.testing.assert_allclose(var.data, 0.75 * 3 + 0.25 * x.var((0, 2, 3), ddof=1))

    def test_an_update_is_outside_the_graph_is_counted_and_leaves_earlier_graphs_valid(self) -> None:
        mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
        x, weight, bias = inputs((4, 3), 3)
        earlier = F.batch_norm(x, mean, var, weight, bias, eps=0.0)
        F.batch_norm(x, mean, var, weight, bias, training=True)
        for running in (mean, var):
            assert not running.requires_grad
            assert running.op is None
            assert running.changes == [1]
        (by_weight,) = mg.grad(earlier.sum(), [weight])
        np.testing.assert_allclose(by_weight.data, x.data.sum(axis=0))  # as for mean 0 and variance 1

    def test_evaluation_does_not_change_them(self) -> None:
        mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
        F.batch_norm(Tensor(normal(4, 3)), mean, var)
        assert mean.changes == var.changes == [0]
        assert not mean.data.any()

    def test_evaluation_has_derivatives_with_respect_to_them(self) -> None:
        statistics = Tensor(normal(3), True), Tensor(1 + normal(3, seed=1) ** 2, True)
        for check in (gradcheck, gradgradcheck):
            check(lambda x, w, b, *given: F.batch_norm(x, *given, w, b), [*inputs((4, 3), 3), *statistics])


class TestErrors:
    def test_training_on_one_value_per_channel_is_refused(self) -> None:
        for shape in ((1, 3), (1, 3, 1, 1)):
            with pytest.raises(ValueError, match=r"has 1 values per channel; training needs 2 or more"):
                in_training(Tensor(normal(*shape)))
        with pytest.raises(ValueError, match=r"has 0 values"):
            in_training(Tensor(normal(0, 3)))
        with pytest.raises(ValueError, match=r"instance_norm: x \(4, 3, 1, 1\) has 1 pixels"):
            F.instance_norm(Tensor(normal(4, 3, 1, 1)))
        statistics = Tensor(np.zeros(3)), Tensor(np.ones(3))
        assert F.batch_norm(Tensor(normal(1, 3)), *statistics).shape == (1, 3)
        assert F.batch_norm(Tensor(normal(0, 3)), *statistics).shape == (0, 3)

    def test_weights_for_another_number_of_channels_are_refused(self) -> None:
        x, three = Tensor(normal(4, 2, 3, 3)), Tensor(np.ones(3))
        with pytest.raises(ValueError, match=r"x \(4, 2, 3, 3\) has 2 channels, so weight should be \(2,\); it is \(3,\)"):
            in_training(x, three)
        with pytest.raises(ValueError, match=r"so running_var should be \(2,\); it is \(3,\)"):
            F.batch_norm(x, Tensor(np.ones(2)), three)
        with pytest.raises(ValueError, match=r"instance_norm: .* so bias should be \(2,\); it is \(3,\)"):
            F.instance_norm(x, bias=three)
        with pytest.raises(ValueError, match=r"layer_norm: weight is \(3,\) and should be normalized_shape \(3, 3\)"):
            F.layer_norm(x, (3, 3), three)

    def test_inputs_of_other_shapes_are_refused(self) -> None:
        for shape in ((3,), (2, 3, 4), (2, 3, 4, 5, 6)):
            with pytest.raises(ValueError, match=r"must be \(n, channels\) or \(n, channels, height, width\)"):
                in_training(Tensor(normal(*shape)))
        with pytest.raises(ValueError, match=r"instance_norm: x \(2, 3\) must be"):
            F.instance_norm(Tensor(normal(2, 3)))
        with pytest.raises(ValueError, match=r"layer_norm: normalized_shape is \(\); it must have one or more of the last"):
            F.layer_norm(Tensor(normal(2, 3)), ())
        for wrong in (4, (4,), (2, 3, 4)):
            with pytest.raises(ValueError, match=r"the last axes of x \(2, 3\) must be normalized_shape"):
                F.layer_norm(Tensor(normal(2, 3)), wrong)

    def test_evaluation_without_statistics_is_refused(self) -> None:
        with pytest.raises(ValueError, match="evaluation needs running_mean and running_var"):
            F.batch_norm(Tensor(normal(2, 3)), None, None)

    @pytest.mark.parametrize("f", [in_training, F.instance_norm, over_the_last_axis])
    def test_arrays_in_place_of_tensors_are_refused(self, f: Any) -> None:
        x = normal(2, 3, 4, 4)
        with pytest.raises(TypeError, match=r"_norm: x must be a Tensor, not ndarray"):
            f(x)
        with pytest.raises(TypeError, match=r"_norm: weight must be a Tensor, not ndarray"):
            f(Tensor(x), np.ones(3))
        with pytest.raises(TypeError, match=r"batch_norm: running_mean must be a Tensor, not ndarray"):
            F.batch_norm(Tensor(x), np.zeros(3), np.ones(3), training=True)  # type: ignore[arg-type]

    @pytest.mark.parametrize("eps", [-1e-5, np.nan, None, "1"])
    def test_eps_and_momentum_must_be_numbers(self, eps: Any) -> None:
        x = Tensor(normal(2, 3, 4, 4))
        for name, f in {
            "batch_norm: eps": lambda: F.batch_norm(x, None, None, training=True, eps=eps),
            "batch_norm: momentum": lambda: F.batch_norm(x, None, None, training=True, momentum=eps),
            "instance_norm: eps": lambda: F.instance_norm(x, eps=eps),
            "layer_norm: eps": lambda: F.layer_norm(x, 4, eps=eps),
        }.items():
            with pytest.raises(ValueError, match=rf"^{name} is {eps!r}; it must be a finite number, 0 or more"):
                f()

    def test_eps_is_keyword_only(self) -> None:
        with pytest.raises(TypeError):
            F.layer_norm(Tensor(normal(2, 3)), (3,), None, None, 1e-3)  # type: ignore[misc]


def test_a_constant_channel_gives_the_bias_and_finite_gradients() -> None:
    x = np.ones((8, 2), np.float32)
    xs = Tensor(x, True), Tensor(np.ones(2, np.float32), True), Tensor(np.full(2, 3, np.float32), True)
    y = in_training(*xs)
    np.testing.assert_array_equal(y.data, 3)
    assert all(np.isfinite(g.data).all() for g in mg.grad((y * y).sum(), xs))


@pytest.mark.parametrize("value", [0.1, 1e-3, -7.3, 1e6])
@pytest.mark.parametrize("rows", [2, 65, 3000])
def test_a_constant_channel_is_normalised_to_exactly_0(value: float, rows: int) -> None:
    x = Tensor(np.full((rows, 3), value, np.float32))
    np.testing.assert_array_equal(F.batch_norm(x, None, None, training=True).data, 0)


def test_images_without_channels() -> None:
    for f in (in_training, F.instance_norm):
        x = Tensor(normal(2, 0, 3, 4), requires_grad=True)
        y = f(x)
        assert y.shape == mg.grad(y.sum(), [x])[0].shape == (2, 0, 3, 4)


def test_layer_norm_takes_one_number_as_its_shape() -> None:
    x = Tensor(normal(2, 3))
    np.testing.assert_array_equal(F.layer_norm(x, 3).data, F.layer_norm(x, (3,)).data)


def test_float64_images_with_float32_weights() -> None:
    """The result is float64, and each gradient has the dtype of its input."""
    x, weight, bias = inputs((5, 3), 3)
    low = [Tensor(t.data.astype(np.float32), True) for t in (weight, bias)]
    exact = [Tensor(t.data.astype(np.float64), True) for t in low]
    y = in_training(x, *low)
    assert y.dtype == np.float64
    for g, e in zip(mg.grad((y * y).sum(), [x, *low]), mg.grad((in_training(x, *exact) ** 2).sum(), [x, *exact]), strict=True):
        np.testing.assert_allclose(g.data, e.data, rtol=1e-6)
    assert mg.grad((in_training(x, *low) ** 2).sum(), low)[0].dtype == np.float32
