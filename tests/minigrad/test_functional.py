"""Functions at extreme values, of integers and with random masks, and the errors for arguments that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.functional as F
from minigrad import Tensor
from minigrad.gradcheck import gradcheck, gradgradcheck

PRECISIONS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def value_and_slope(
    f: Callable[[Tensor], Tensor], values: list[float], dtype: Any = np.float64
) -> tuple[list[float], list[float]]:
    """f and the gradient of its sum. pytest makes every NumPy warning an error."""
    x = Tensor(np.array(values, dtype), requires_grad=True)
    out = f(x)
    (gx,) = mg.grad(out, [x], Tensor(np.ones(out.shape, dtype)))
    assert out.dtype == gx.dtype == dtype
    return out.numpy().tolist(), gx.numpy().tolist()


class TestExtremes:
    @PRECISIONS
    @pytest.mark.parametrize(("target", "values", "slopes"), [
        (1.0, [1000, 0], [-1, 0]),
        (0.0, [0, 1000], [0, 1]),
        (0.5, [500, 500], [-0.5, 0.5]),
    ])  # fmt: skip
    def test_binary_cross_entropy_with_logits_of_1000(
        self, dtype: Any, target: float, values: list[float], slopes: list[float]
    ) -> None:
        for t in (target, Tensor(np.full(2, target, dtype))):
            loss = value_and_slope(lambda x, t=t: F.binary_cross_entropy_with_logits(x, t, "none"), [-1000, 1000], dtype)
            assert loss == (values, slopes)

    @PRECISIONS
    def test_sigmoid(self, dtype: Any) -> None:
        assert value_and_slope(F.sigmoid, [-1000, 0, 1000], dtype) == ([0, 0.5, 1], [0, 0.25, 0])

    def test_sigmoid_of_small_values_keeps_its_digits(self) -> None:
        (value,), (slope,) = value_and_slope(F.sigmoid, [-50])
        assert value == pytest.approx(np.exp(-50), rel=1e-14)
        assert slope == pytest.approx(np.exp(-50), rel=1e-14)

    @PRECISIONS
    def test_softplus(self, dtype: Any) -> None:
        values, slopes = value_and_slope(F.softplus, [-1000, 0, 1000], dtype)
        assert values == pytest.approx([0, np.log(2), 1000])
        assert slopes == [0, 0.5, 1]

    def test_softplus_is_exact_beyond_20_where_pytorch_rounds(self) -> None:
        (below, above), _ = value_and_slope(F.softplus, [-30, 30])
        assert below == pytest.approx(np.exp(-30), rel=1e-14)
        assert above == pytest.approx(30 + np.exp(-30), rel=1e-15)
        assert above > 30

    @PRECISIONS
    def test_tanh(self, dtype: Any) -> None:
        assert value_and_slope(F.tanh, [-1000, 1000], dtype) == ([-1, 1], [0, 0])

    @PRECISIONS
    def test_logsumexp_of_large_small_and_infinite_values(self, dtype: Any) -> None:
        assert value_and_slope(F.logsumexp, [1000, 0], dtype) == (1000, [1, 0])
        assert F.logsumexp(Tensor(np.array([1000, 1000], dtype))).item() == pytest.approx(1000 + np.log(2))
        assert value_and_slope(F.logsumexp, [-1000, 0], dtype) == (0, [0, 1])
        assert value_and_slope(F.logsumexp, [-np.inf, 5], dtype) == (5, [0, 1])
        assert F.logsumexp(Tensor(np.array([1.0, np.inf], dtype))).item() == np.inf

    def test_logsumexp_of_nothing_but_minus_infinity(self) -> None:
        assert F.logsumexp(Tensor(np.array([-np.inf, -np.inf]))).item() == -np.inf

    @PRECISIONS
    def test_softmax_of_far_apart_values(self, dtype: Any) -> None:
        x = Tensor(np.array([-1000.0, 0.0, 1000.0], dtype))
        assert F.softmax(x).numpy().tolist() == [0, 0, 1]
        assert F.log_softmax(x).numpy().tolist() == [-2000, -1000, 0]

    @PRECISIONS
    def test_softmax_does_not_lose_digits_where_all_values_are_large(self, dtype: Any) -> None:
        """A common offset changes nothing, so the maximum can be subtracted before anything is rounded."""
        rtol = 4 * float(np.finfo(dtype).eps)
        large, small = (Tensor(np.array([[0.0, 1.0, -2.0]], dtype) + offset, requires_grad=True) for offset in (8192, 0))
        for f in (F.log_softmax, F.softmax, lambda x: F.cross_entropy(x, Tensor([2]))):
            np.testing.assert_allclose(f(large).data, f(small).data, rtol=rtol)
            (of_large,), (of_small,) = (mg.grad(F.sum(f(x) * f(x)), [x]) for x in (large, small))
            np.testing.assert_allclose(of_large.data, of_small.data, rtol=4 * rtol)

    @PRECISIONS
    def test_cross_entropy_of_a_confident_wrong_prediction(self, dtype: Any) -> None:
        logits = Tensor(np.array([[1000.0, 0.0]], dtype), requires_grad=True)
        loss = F.cross_entropy(logits, Tensor([1]))
        assert loss.item() == 1000
        assert mg.grad(loss, [logits])[0].numpy().tolist() == [[1, -1]]

    @PRECISIONS
    def test_binary_cross_entropy_of_a_certain_wrong_prediction_is_100(self, dtype: Any) -> None:
        p = Tensor(np.array([0, 1, 0, 1], dtype), requires_grad=True)
        loss = F.binary_cross_entropy(p, Tensor(np.array([1, 0, 0, 1], dtype)), "none")
        assert loss.numpy().tolist() == [100, 100, 0, 0]
        assert np.isfinite(mg.grad(loss.sum(), [p])[0].data).all()

    @PRECISIONS
    def test_relu_of_infinity(self, dtype: Any) -> None:
        assert value_and_slope(F.relu, [-np.inf, np.inf], dtype) == ([0, np.inf], [0, 1])

    def test_max_propagates_nan(self) -> None:
        assert np.isnan(F.max(Tensor([1.0, np.nan])).item())

    def test_powers_at_zero(self) -> None:
        zero = Tensor(np.zeros(3), requires_grad=True)
        exponents = Tensor(np.array([0.0, 1.0, 2.0]), requires_grad=True)
        out = zero**exponents
        assert out.numpy().tolist() == [1, 0, 0]
        gx, gy = mg.grad(out.sum(), [zero, exponents])
        assert gx.numpy().tolist() == [0, 1, 0]
        assert gy.numpy().tolist() == [0, 0, 0]

    def test_empty_means_are_nan_and_empty_sums_are_zero(self) -> None:
        empty = Tensor(np.zeros((0, 3)))
        assert np.isnan(F.mean(empty).item())
        assert F.sum(empty).item() == 0
        assert F.mean(empty, axis=1).shape == (0,)

    def test_float32_sums_of_many_values_are_accurate(self) -> None:
        x = np.full(1_000_000, 0.1, np.float32)
        assert F.mean(Tensor(x)).item() == pytest.approx(0.1, rel=1e-6)


class TestIntegers:
    def test_smallest_and_largest_of_unsigned_integers(self) -> None:
        x = Tensor(np.array([3, 0, 255], np.uint8))
        assert (F.min(x).item(), F.max(x).item()) == (0, 255)

    def test_min_of_the_smallest_int64(self) -> None:
        smallest = np.iinfo(np.int64).min
        assert F.min(Tensor(np.array([smallest, 0]))).item() == smallest

    def test_sums_of_integers_and_masks_are_integers(self) -> None:
        assert F.sum(Tensor(np.array([200, 100], np.uint8))).item() == 300
        assert F.sum(Tensor(np.array([True, True, False]))).item() == 2

    def test_means_of_integers_and_masks_are_not_rounded_and_do_not_overflow(self) -> None:
        assert F.mean(Tensor(np.array([True, True, False, False]))).item() == 0.5
        assert F.mean(Tensor(np.full(300, 2, np.uint8))).item() == 2
        assert F.mean(Tensor(np.array([1, 2]))).item() == 1.5

    @pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
    def test_activations_of_other_types_have_the_right_values(self, dtype: Any) -> None:
        values = np.array([0, 1, 3], dtype)
        np.testing.assert_array_equal(F.leaky_relu(Tensor(values), 0.5).data, values)
        np.testing.assert_allclose(F.tanh(Tensor(values)).data, np.tanh(values.astype(np.float64)), rtol=1e-3)
        if dtype == np.int64:
            assert F.leaky_relu(Tensor(-values), 0.5).numpy().tolist() == [0, -0.5, -1.5]

    def test_astype_cuts_the_graph_where_integers_begin(self) -> None:
        x = Tensor(np.array([1.7, -1.7]), requires_grad=True)
        out = F.astype(x, np.int32)
        assert out.numpy().tolist() == [1, -1]
        assert not out.requires_grad
        assert F.astype(x, np.float64) is x


class TestDropout:
    def test_elements_are_zero_with_probability_p_and_scaled_up_otherwise(self) -> None:
        mg.manual_seed(0)
        x = Tensor(np.full(100_000, 2.0, np.float32))
        out = F.dropout(x, 0.2).data
        assert out.dtype == np.float32
        assert set(np.unique(out)) == {0, np.float32(2.5)}
        assert (out == 0).mean() == pytest.approx(0.2, abs=4 * (0.16 / 100_000) ** 0.5)

    def test_the_gradient_passes_where_the_element_passed(self) -> None:
        mg.manual_seed(0)
        x = Tensor(np.ones(50), requires_grad=True)
        out = F.dropout(x, 0.5)
        (gx,) = mg.grad(out.sum(), [x])
        np.testing.assert_array_equal(gx.data, out.data)

    def test_derivatives(self) -> None:
        def f(x: Tensor) -> Tensor:
            mg.manual_seed(1)
            return F.dropout(x * x, 0.3)

        x = Tensor(np.random.default_rng(0).standard_normal((4, 5)), requires_grad=True)
        gradcheck(f, [x])
        gradgradcheck(f, [x])

    def test_evaluation_and_p_0_change_nothing_and_draw_nothing(self) -> None:
        x = Tensor([1.0, 2.0])
        mg.manual_seed(0)
        assert F.dropout(x, 0.5, training=False) is x
        assert F.dropout(x, 0.0) is x
        np.testing.assert_array_equal(mg.rand((2,)).data, mg.Generator(0).rand((2,)).data)

    @pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
    def test_p_outside_0_to_1(self, p: float) -> None:
        with pytest.raises(ValueError, match="dropout: p is"):
            F.dropout(Tensor([1.0]), p)


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


LOSSES = [F.mse_loss, F.l1_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits]

BAD_CALLS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "matmul sizes": (lambda: ones(2, 3) @ ones(2, 3), ValueError, r"^MatMul\(a \(2, 3\), b \(2, 3\)\): the last axis of a"),
    "matmul stacks": (lambda: ones(2, 2, 3) @ ones(3, 3, 2), ValueError, r"^MatMul\(a \(2, 2, 3\), b \(3, 3, 2\)\): "),
    "matmul numbers": (lambda: F.matmul(ones(), ones(3)), ValueError, r"matmul: a \(\) and b \(3,\) .*use \* for numbers"),
    "linear features": (
        lambda: F.linear(ones(5, 3), ones(2, 4)), ValueError, r"the weight must be \(out, 3\) and is \(2, 4\)$",
    ),
    "linear bias": (lambda: F.linear(ones(5, 3), ones(2, 3), ones(3)), ValueError, r"^Linear\(x \(5, 3\), .*bias \(3,\)\)"),
    "linear of a number": (lambda: F.linear(ones(), ones(2, 3)), ValueError, "^linear: x is a single number; it must have 3"),
    "reduction axis": (lambda: F.sum(ones(2, 3), 2), ValueError, r"^Sum\(x \(2, 3\)\): axis 2 is out of range"),
    "mean axis": (lambda: F.mean(ones(2, 3), -3), ValueError, r"axis -3 is out of (bounds|range)"),
    "axis twice": (lambda: F.max(ones(2, 3), (0, -2)), ValueError, r"^Max\(x \(2, 3\)\): duplicate value in 'axis'"),
    "max of nothing": (lambda: F.max(ones(0, 3)), ValueError, r"^Max\(x \(0, 3\)\): zero-size array"),
    "broadcast_to": (lambda: F.broadcast_to(ones(3), (2,)), ValueError, r"^BroadcastTo\(x \(3,\)\): "),
    "reshape": (lambda: ones(6).reshape(4, -1), ValueError, r"^Reshape\(x \(6,\)\): cannot reshape"),
    "transpose": (lambda: ones(2, 3).transpose(0, 0), ValueError, r"^Transpose\(x \(2, 3\)\): "),
    "index": (lambda: ones(2, 3)[2], IndexError, r"^Index\(x \(2, 3\)\): index 2 is out of bounds"),
    "flip": (lambda: F.flip(ones(2, 3), 2), ValueError, r"^Flip\(x \(2, 3\)\): "),
    "flatten a number": (lambda: F.flatten(ones(), 1), ValueError, r"^flatten: axis 1 is out of range"),
    "flatten axis": (lambda: F.flatten(ones(2, 3), 2), ValueError, "^flatten: axis 2 is out of range for 2 dimensions"),
    "flatten order": (lambda: F.flatten(ones(2, 3, 4), 2, 1), ValueError, r"flatten.*\(2, 3, 4\)"),
    "concatenate axis": (lambda: F.concatenate([ones(2)], 1), ValueError, r"^Concatenate\(xs\[0\] \(2,\)\): axis 1"),
    "concatenate nothing": (lambda: F.concatenate([]), ValueError, r"^Concatenate\(\): need at least one array"),
    "stack shapes": (lambda: F.stack([ones(2), ones(3)]), ValueError, r"^Concatenate\("),
    "stack axis": (lambda: F.stack([ones(2), ones(2)], 7), ValueError, "axis 7 is out of range for 2 dimensions"),
    "stack nothing": (lambda: F.stack([]), ValueError, "stack"),
    "pad odd": (lambda: F.pad(ones(2, 3), (1,)), ValueError, r"^pad: \(1,\) must hold two numbers"),
    "pad axes": (lambda: F.pad(ones(2), (1, 1, 1, 1)), ValueError, "for each of up to 1 axes"),
    "pad below 0": (lambda: F.pad(ones(2), (-1, 0)), ValueError, r"^pad: \(-1, 0\)"),
    "clip without bounds": (lambda: F.clip(ones(2)), ValueError, "^clip: give a lower bound"),
    "leaky_relu slope": (lambda: F.leaky_relu(ones(2), -0.1), ValueError, r"^leaky_relu: negative_slope is -0\.1"),
    "embedding floats": (lambda: F.embedding(ones(2), ones(3, 2)), TypeError, "^embedding: indices must be integers"),
    "embedding beyond": (lambda: F.embedding(Tensor([3]), ones(3, 2)), IndexError, "^embedding: the index 3 is not"),
    "cross_entropy shapes": (
        lambda: F.cross_entropy(ones(4, 3), Tensor([0, 1])), ValueError, r"^cross_entropy: logits \(4, 3\) .*target \(2,\)",
    ),
    "cross_entropy float target": (lambda: F.cross_entropy(ones(2, 3), ones(2)), ValueError, "float64 integers"),
    "cross_entropy class beyond": (lambda: F.cross_entropy(ones(2, 3), Tensor([0, 3])), IndexError, r"not in 0 \.\. 2$"),
    "cross_entropy class below": (lambda: F.cross_entropy(ones(2, 3), Tensor([0, -1])), IndexError, r"not in 0 \.\. 2$"),
    "reduction name": (
        lambda: F.mse_loss(ones(2), 1.0, "average"), ValueError, "^reduction is 'average'; choose 'mean', 'sum' or 'none'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_arguments_that_do_not_fit_are_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("wrap", [Tensor, np.asarray], ids=["tensor", "array"])
def test_a_target_that_would_broadcast_is_refused(loss: Callable[..., Tensor], wrap: Callable[[Any], Any]) -> None:
    """(n,) against (n, 1) would give n^2 losses and a number that looks right."""
    with pytest.raises(ValueError, match=r"the target has shape \(4,\), the prediction \(4, 1\); they must be equal"):
        loss(Tensor(np.full((4, 1), 0.5)), wrap(np.ones(4)))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("target", [0, 1, 0.9, True])
def test_a_number_is_a_target_for_every_element(loss: Callable[..., Tensor], target: float) -> None:
    x = Tensor(np.array([[0.2], [0.7]], np.float32))
    expected = loss(x, Tensor(np.full((2, 1), float(target), np.float32)))
    out = loss(x, target)
    assert out.dtype == np.float32
    assert out.item() == pytest.approx(expected.item(), rel=1e-6)


def test_axes_may_be_numpy_integers() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    assert F.sum(x, np.int64(0)).shape == (3,)
    assert F.reshape(x, np.int64(6)).shape == (6,)


def test_flatten_makes_one_axis_of_a_number_as_pytorch_does() -> None:
    assert F.flatten(Tensor(2.0)).shape == (1,)


def test_linear_without_input_features_gives_the_bias_for_any_leading_axes() -> None:
    out = F.linear(ones(2, 4, 0), ones(3, 0), Tensor(np.array([1.0, 2.0, 3.0])))
    assert out.shape == (2, 4, 3)
    np.testing.assert_array_equal(out.data, np.broadcast_to([1, 2, 3], (2, 4, 3)))


def test_dropout_keeps_images_channels_last() -> None:
    x = Tensor(np.ones((2, 4, 4, 3), np.float32).transpose(0, 3, 1, 2), requires_grad=True)
    y = F.dropout(x, 0.4)
    assert y.data.strides == x.data.strides
    (g,) = mg.grad(y.sum(), [x], create_graph=False)
    assert set(np.unique(y.data)) == {np.float32(0), np.float32(1) / np.float32(0.6)}
    np.testing.assert_array_equal(g.data, y.data)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_labels_may_be_arrays(dtype: Any) -> None:
    logits, labels = Tensor(np.eye(3)), np.array([0, 2, 1], dtype)
    assert F.cross_entropy(logits, labels).item() == F.cross_entropy(logits, Tensor(labels)).item()
    np.testing.assert_array_equal(F.embedding(labels, logits).data, np.eye(3)[labels])


def test_negative_indices_do_not_count_from_the_end() -> None:
    with pytest.raises(IndexError, match=r"embedding: the index -1 is not in 0 \.\. 2$"):
        F.embedding(Tensor([0, -1]), Tensor(np.eye(3)))


def test_the_spread_of_equal_numbers_has_gradient_0() -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for spread in (x.std(), F.norm(x - 1), x.std(axis=1, ddof=1).sum()):
        assert mg.grad(spread, [x])[0].numpy().tolist() == [[0.0] * 3] * 2


def test_shapes_of_random_numbers_may_be_one_number() -> None:
    assert (mg.randn(3).shape, mg.rand(2).shape) == ((3,), (2,))
    with pytest.raises(TypeError, match=r"the shape is one argument; write randn\(\(3, 4\)\)"):
        mg.randn(3, 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"the shape is one argument; write rand\(\(64, 9, 1, 1\)\)"):
        mg.rand(64, 9, 1, 1)  # type: ignore[arg-type]


def test_embedding_and_cross_entropy_are_captured_and_refuse_an_index_in_a_replay() -> None:
    weight = Tensor(np.linspace(-1, 1, 9).reshape(3, 3), requires_grad=True)

    def step(labels: Tensor) -> dict[str, Tensor]:
        loss = F.cross_entropy(F.gelu(F.embedding(labels, weight)), labels)
        weight.assign(weight - mg.grad(loss, [weight])[0])
        return {"loss": loss}

    captured = mg.Captured(step)
    for i in range(6):
        labels, before = Tensor([i % 3, (2 * i) % 3]), weight.data.copy()
        loss, after = captured(labels)["loss"].item(), weight.data.copy()
        weight.assign(before)
        assert loss == step(labels)["loss"].item()
        np.testing.assert_array_equal(weight.data, after)
    assert not captured.refused
    with pytest.raises(IndexError, match="out of bounds"):
        captured(Tensor([0, -1]))


def test_bounds_that_are_tensors_are_refused_as_they_would_get_no_gradient() -> None:
    for bound in (Tensor(1.0), Tensor([1.0, 2.0]), np.ones(2), [1.0, 2.0]):
        with pytest.raises(TypeError, match=r"clip: the bounds are numbers; for tensors write F.maximum"):
            F.clip(Tensor([0.0, 2.0]), bound)  # type: ignore[arg-type]


def test_the_axis_of_a_norm_is_given_by_name() -> None:
    with pytest.raises(TypeError, match="norm takes axis=, keepdims=, eps= by name"):
        F.norm(Tensor([[3.0, 4.0]]), 1)  # type: ignore[misc]


@pytest.mark.parametrize("f", [F.softmax, F.log_softmax, F.argmax])
def test_an_axis_out_of_range_is_named(f: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"axis 2 is out of range for 2 dimensions"):
        f(Tensor([[3.0, 4.0]]), 2)
