"""Convolutions of random sizes: values and derivatives equal the reference's and PyTorch's, images stay channels-last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from drawn_convolutions import geometries, normal
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import Op, Tensor
from minigrad.gradcheck import gradgradcheck
from minigrad.kernels import reference
from minigrad.kernels.cpu import conv as cpu_conv
from minigrad.kernels.geometry import Geometry, Size
from minigrad.ops.conv import Conv2d, Conv2dWeight, ConvTranspose2d

drawn = settings(max_examples=40, deadline=None)
DCGAN = Geometry(Size(6, 8), (4, 4), (2, 2), (1, 1))


@dataclass(frozen=True)
class Problem:
    """A convolution of images (n, channels, ...) to (n, out, positions), and the transposed one the other way."""

    geometry: Geometry
    n: int
    groups: int
    channels: int  # of one group
    out: int  # of one group
    with_bias: bool

    def images(self) -> np.ndarray:
        return normal(0, self.n, self.groups * self.channels, *self.geometry.image)

    def results(self) -> np.ndarray:
        return normal(1, self.n, self.groups * self.out, *self.geometry.positions)

    def weight(self) -> np.ndarray:
        return normal(2, self.groups * self.out, self.channels, *self.geometry.kernel)

    def conv2d(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Inputs and settings of `conv2d`."""
        bias = [normal(3, self.groups * self.out)] * self.with_bias
        return [self.images(), self.weight(), *bias], self._settings()

    def conv_transpose2d(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Inputs and settings of `conv_transpose2d`."""
        g, bias = self.geometry, [normal(3, self.groups * self.channels)] * self.with_bias
        least = [(g.positions[i] - 1) * g.stride[i] - 2 * g.padding[i] + g.dilation[i] * (g.kernel[i] - 1) + 1 for i in (0, 1)]
        output_padding = g.image.height - least[0], g.image.width - least[1]
        return [self.results(), self.weight(), *bias], {**self._settings(), "output_padding": output_padding}

    def _settings(self) -> dict[str, Any]:
        g = self.geometry
        return {"stride": g.stride, "padding": g.padding, "dilation": g.dilation, "groups": self.groups}

    def of_groups(self, function: Callable[..., np.ndarray], first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        """function(first, second) group by group; `second` is split like weights if axis is 1, else like images."""
        pieces = zip(np.split(first, self.groups, 1), np.split(second, self.groups, 1 - axis), strict=True)
        return np.concatenate([function(a, b) for a, b in pieces], axis)


problems = st.builds(
    Problem,
    geometry=geometries(largest_kernel=5, most_free=4),
    n=st.integers(1, 2),
    groups=st.integers(1, 3),
    channels=st.integers(1, 3),
    out=st.integers(1, 3),
    with_bias=st.booleans(),
)
PLAIN = Problem(DCGAN, n=2, groups=1, channels=3, out=2, with_bias=True)
names = pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])


def leaves(arrays: list[np.ndarray]) -> list[Tensor]:
    return [Tensor(a, requires_grad=True) for a in arrays]


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal to 1e-10 of the largest value."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10 * max(1e-3, float(np.abs(expected).max(initial=0))))


def expected(name: str, p: Problem, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, g: np.ndarray) -> list[np.ndarray]:
    """The value, and the gradients of x, w and the bias for the cotangent g, by the reference's kernels."""
    forward, backward = reference.conv2d, reference.conv_transpose2d
    images, results = x, g
    if name == "conv_transpose2d":
        forward, backward, images, results = backward, forward, results, images
    y = p.of_groups(lambda x, w: forward(x, w, None, p.geometry), x, w, 1)
    dx = p.of_groups(lambda g, w: backward(g, w, None, p.geometry), g, w, 1)
    dw = p.of_groups(lambda images, results: reference.conv2d_weight(images, results, p.geometry), images, results, 0)
    return [y, dx, dw] if bias is None else [y + bias[:, None, None], dx, dw, g.sum((0, 2, 3))]


@names
@given(problem=problems)
@example(problem=PLAIN)
@drawn
def test_values_and_gradients_equal_the_reference(name: str, problem: Problem) -> None:
    arrays, numbers = getattr(problem, name)()
    inputs = leaves(arrays)
    y = getattr(F, name)(*inputs, **numbers)
    g = normal(5, *y.shape)
    x, w, *bias = arrays
    wanted = expected(name, problem, x, w, *(bias or [None]), g)
    for actual, exact in zip([y, *mg.grad(y, inputs, Tensor(g))], wanted, strict=True):
        assert_close(actual.data, exact)


@names
@given(problem=problems)
@example(problem=PLAIN)
@drawn
def test_values_and_derivatives_of_both_orders_equal_pytorch(torch: Any, name: str, problem: Problem) -> None:
    arrays, numbers = getattr(problem, name)()
    ours, theirs = leaves(arrays), [torch.tensor(a, requires_grad=True) for a in arrays]
    y, its_y = getattr(F, name)(*ours, **numbers), getattr(torch.nn.functional, name)(*theirs, **numbers)
    g, its_g = Tensor(normal(5, *y.shape), requires_grad=True), torch.tensor(normal(5, *y.shape), requires_grad=True)
    first = mg.grad(y, ours, g, create_graph=True)
    its_first = torch.autograd.grad(its_y, theirs, its_g, create_graph=True)
    combined, its_combined = 0 * g.sum(), 0 * its_g.sum()
    for i, (grad, its_grad) in enumerate(zip(first, its_first, strict=True)):
        v = normal(6 + i, *grad.shape)
        combined, its_combined = combined + (grad * Tensor(v)).sum(), its_combined + (its_grad * torch.tensor(v)).sum()
    inputs, its_inputs = [*ours[:2], g], [*theirs[:2], its_g]
    second, its_second = mg.grad(combined, inputs), torch.autograd.grad(its_combined, its_inputs)
    for actual, wanted in zip([y, *first, *second], [its_y, *its_first, *its_second], strict=True):
        assert_close(actual.data, wanted.detach().numpy())


small_problems = st.builds(
    Problem,
    geometry=geometries(largest_kernel=3, most_free=2),
    n=st.just(1),
    groups=st.integers(1, 2),
    channels=st.integers(1, 2),
    out=st.integers(1, 2),
    with_bias=st.booleans(),
)


@names
@given(problem=small_problems)
@settings(max_examples=8, deadline=None)
def test_second_derivatives_agree_with_finite_differences(name: str, problem: Problem) -> None:
    arrays, numbers = getattr(problem, name)()
    gradgradcheck(lambda *inputs: getattr(F, name)(*inputs, **numbers), leaves(arrays))


@given(geometry=geometries(leave_some_out=True), n=st.integers(0, 3), channels=st.integers(1, 4), out=st.integers(1, 4))
@drawn
def test_the_three_convolutions_are_derivatives_of_one_scalar(geometry: Geometry, n: int, channels: int, out: int) -> None:
    """<conv(x, w), g> = <x, conv_transpose(g, w)> = <w, conv_weight(x, g)>."""
    p = Problem(geometry, n, 1, channels, out, False)
    x, w, g = (Tensor(a) for a in (p.images(), p.weight(), p.results()))
    number = (Conv2d(geometry)(x, w, None) * g).sum().item()
    scale = 1 + float(abs(x.data).sum() * abs(w.data).max() * abs(g.data).max(initial=0))
    assert (x * ConvTranspose2d(geometry)(g, w, None)).sum().item() == pytest.approx(number, abs=1e-13 * scale)
    assert (w * Conv2dWeight(geometry)(x, g)).sum().item() == pytest.approx(number, abs=1e-13 * scale)


# ---------------------------------------------------------------- Memory


def is_channels_last(x: np.ndarray) -> bool:
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.fixture
def images_made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, np.ndarray]]]:
    """The 4D arrays that ops return, forward or backward. All must be channels-last, and convolutions may copy none."""
    made: list[tuple[str, np.ndarray]] = []
    apply, by_pixel, looked_at = Op.__call__, cpu_conv.pixels, []

    def note(op: Op, *inputs: Any) -> Tensor:
        out = apply(op, *inputs)
        if out.ndim == 4:
            made.append((op.name, out.data))
        return out

    def refuse_copies(x: np.ndarray) -> np.ndarray:
        pixels = by_pixel(x)
        assert np.shares_memory(pixels, x)
        looked_at.append(x)
        return pixels

    monkeypatch.setattr(Op, "__call__", note)
    monkeypatch.setattr(cpu_conv, "pixels", refuse_copies)
    yield made
    assert made and looked_at
    assert [name for name, array in made if not is_channels_last(array)] == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [(3, 8, 2), (1, 1, 1), (2, 1, 3)])
def test_images_stay_channels_last_and_are_never_copied(
    channels: tuple[int, int, int], dtype: Any, images_made: list[tuple[str, np.ndarray]]
) -> None:
    """Through a chain of layers, backward and double backward, as in a gradient penalty."""
    before, middle, after = channels
    x = Tensor(normal(0, 2, before, 8, 6, dtype=dtype), requires_grad=True)
    w, v = (normal(i, middle, c, 4, 4, dtype=dtype) for i, c in ((1, before), (2, after)))
    parameters = leaves([w, normal(3, middle, dtype=dtype), v, normal(4, after, dtype=dtype)])
    h = F.leaky_relu(F.conv2d(x, *parameters[:2], 2, 1), 0.2)
    y = F.tanh(F.conv_transpose2d(h, *parameters[2:], 2, 1))
    grads = mg.grad(y, [x, *parameters], Tensor(normal(5, *y.shape, dtype=dtype)), create_graph=True)
    second = mg.grad(grads[0], [x, *parameters], grads[0].detach())
    for tensor in (y, *grads, *second):
        assert tensor.dtype == dtype
        assert tensor.ndim != 4 or is_channels_last(tensor.data)
    made = {name for name, _ in images_made}
    assert {"Conv2d", "ConvTranspose2d", "Conv2dWeight", "LeakyReLUBackward", "TanhBackward"} <= made


@names
def test_groups_make_channels_last_images_too(name: str) -> None:
    arrays, numbers = getattr(Problem(DCGAN, 2, 3, 2, 2, True), name)()
    inputs = leaves(arrays)
    y = getattr(F, name)(*inputs, **numbers)
    assert is_channels_last(y.data)
    for grad in mg.grad(y.sum(), inputs[:2]):
        assert is_channels_last(grad.data)


@names
def test_images_of_any_layout_give_the_same_result(name: str) -> None:
    arrays, numbers = getattr(PLAIN, name)()
    expected = getattr(F, name)(*(Tensor(a) for a in arrays), **numbers)
    out = getattr(F, name)(*(Tensor(np.ascontiguousarray(a)) for a in arrays), **numbers)
    np.testing.assert_array_equal(out.data, expected.data)
    assert is_channels_last(out.data)


# ---------------------------------------------------------------- Sizes and errors


@given(problem=problems)
@drawn
def test_conv2d_of_conv_transpose2d_has_the_original_size(problem: Problem) -> None:
    (results, *rest), numbers = problem.conv_transpose2d()
    image = F.conv_transpose2d(Tensor(results), *(Tensor(a) for a in rest), **numbers)
    assert image.shape == problem.images().shape
    (_, w, *_), numbers = problem.conv2d()
    assert F.conv2d(image, Tensor(w), **numbers).shape == results.shape


@pytest.mark.parametrize(("size", "kernel", "numbers", "expected"), [
    (1, 4, {}, 4),  # DCGAN: noise to 4 x 4
    (4, 4, {"stride": 2, "padding": 1}, 8),  # and then twice the size
    (5, 3, {"stride": 2, "padding": 1, "output_padding": 1}, 10),  # CycleGAN
    (5, 3, {"stride": 2, "padding": 1}, 9),
    (3, 2, {"stride": 3, "dilation": 2, "output_padding": 2}, 11),
])  # fmt: skip
def test_sizes_of_well_known_transposed_layers(size: int, kernel: int, numbers: dict[str, int], expected: int) -> None:
    x, w = Tensor(np.ones((1, 1, size, size))), Tensor(np.ones((1, 1, kernel, kernel)))
    assert F.conv_transpose2d(x, w, **numbers).shape == (1, 1, expected, expected)


@pytest.mark.parametrize("output_padding", [1, 2, (0, 2), (2, 1)])
@pytest.mark.parametrize("padding", [0, 1])
def test_output_padding_may_exceed_the_stride_if_not_the_dilation(torch: Any, output_padding: Any, padding: int) -> None:
    arrays, numbers = leaves([normal(0, 2, 2, 3, 4), normal(1, 2, 3, 2, 2), normal(2, 3)]), (1, padding, output_padding, 1, 3)
    theirs = [torch.tensor(a.data, requires_grad=True) for a in arrays]
    y, its_y = F.conv_transpose2d(*arrays, *numbers), torch.nn.functional.conv_transpose2d(*theirs, *numbers)
    g = normal(3, *y.shape)
    its_grads = torch.autograd.grad(its_y, theirs, torch.tensor(g))
    for actual, wanted in zip([y, *mg.grad(y, arrays, Tensor(g))], [its_y, *its_grads], strict=True):
        assert_close(actual.data, wanted.detach().numpy())


def test_an_empty_batch_has_an_empty_output_and_zero_gradients() -> None:
    x, w = leaves([np.zeros((0, 3, 6, 8)), normal(0, 2, 3, 4, 4)])
    y = F.conv2d(x, w, stride=2, padding=1)
    assert y.shape == (0, 2, 3, 4)
    dx, dw = mg.grad(y.sum(), [x, w])
    assert dx.shape == x.shape
    assert not dw.data.any()


def zeros(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape))


X, W = zeros(8, 4, 6, 5), zeros(6, 4, 3, 3)
ERRORS: dict[str, tuple[Callable[[], Tensor], str]] = {
    "channels": (
        lambda: F.conv2d(zeros(8, 3, 32, 32), zeros(128, 64, 4, 4)),
        r"conv2d: x has 3 channels but weight expects 64 \(x \(8, 3, 32, 32\), weight \(128, 64, 4, 4\)\)",
    ),
    "channels of groups": (
        lambda: F.conv2d(X, zeros(6, 4, 3, 3), groups=2),
        r"conv2d: x has 4 channels but weight expects 4 x 2 groups \(x \(8, 4, 6, 5\), weight \(6, 4, 3, 3\)\)",
    ),
    "channels, transposed": (
        lambda: F.conv_transpose2d(X, W),
        r"conv_transpose2d: x has 4 channels but weight expects 6 \(x \(8, 4, 6, 5\), weight \(6, 4, 3, 3\)\)",
    ),
    "axes of x": (lambda: F.conv2d(zeros(4, 6, 5), W), r"conv2d: x must be .* \(4, 6, 5\) and \(6, 4, 3, 3\)"),
    "axes of weight": (
        lambda: F.conv_transpose2d(X, zeros(4, 3)), r"conv_transpose2d: x must be .* four axes.* \(8, 4, 6, 5\) and \(4, 3\)"
    ),
    "no axes": (lambda: F.conv2d(X, Tensor(1.0)), r"conv2d: x must be .* \(8, 4, 6, 5\) and \(\)"),
    "groups": (
        lambda: F.conv2d(X, W, groups=4), r"conv2d: 4 groups must divide .* x \(8, 4, 6, 5\) .* weight \(6, 4, 3, 3\)"
    ),
    "no groups": (lambda: F.conv_transpose2d(X, W, groups=0), r"conv_transpose2d: 0 groups must divide the channels"),
    "bias": (lambda: F.conv2d(X, W, zeros(4)), r"conv2d: bias \(4,\) should be \(6,\) for weight \(6, 4, 3, 3\)"),
    "bias, transposed": (
        lambda: F.conv_transpose2d(X, zeros(4, 6, 3, 3), zeros(4)), r"conv_transpose2d: bias \(4,\) should be \(6,\)"
    ),
    "bias of groups, transposed": (
        lambda: F.conv_transpose2d(X, zeros(4, 3, 3, 3), zeros(3), groups=2), r"conv_transpose2d: bias \(3,\) should be \(6,\)"
    ),
    "a large kernel": (
        lambda: F.conv2d(X, zeros(6, 4, 3, 4), dilation=2), r"conv2d: the kernel \(3, 4\) .* does not fit into .* \(6, 5\)"
    ),
    "stride": (lambda: F.conv2d(X, W, stride=(0, 1)), r"conv2d: stride is \(0, 1\); it must be 1 or more"),
    "padding": (lambda: F.conv2d(X, W, padding=-1), r"conv2d: padding is \(-1, -1\); it must be 0 or more"),
    "dilation": (lambda: F.conv2d(X, W, dilation=0), r"conv2d: dilation is \(0, 0\); it must be 1 or more"),
    "stride, transposed": (
        lambda: F.conv_transpose2d(X, zeros(4, 6, 3, 3), dilation=2, stride=0), r"conv_transpose2d: stride is \(0, 0\)"
    ),
    "output padding": (
        lambda: F.conv_transpose2d(X, zeros(4, 6, 3, 3), stride=2, output_padding=(1, 2)),
        r"conv_transpose2d: output_padding \(1, 2\) must be 0 or more, and less than stride \(2, 2\) or dilation \(1, 1\)",
    ),
    "negative output padding": (
        lambda: F.conv_transpose2d(X, zeros(4, 6, 3, 3), output_padding=-1), r"conv_transpose2d: output_padding is \(-1, -1\)"
    ),
    "three strides": (lambda: F.conv2d(X, W, stride=(1, 1, 1)), r"conv2d: .*\(1, 1, 1\)"),  # type: ignore[arg-type]
    "half a stride": (lambda: F.conv2d(X, W, stride=1.5), r"^conv2d: stride is 1\.5; it"),  # type: ignore[arg-type]
    "nothing is left": (
        lambda: F.conv_transpose2d(zeros(1, 1, 1, 2), zeros(1, 1, 2, 2), padding=1),
        r"conv_transpose2d: x \(1, 1, 1, 2\), weight \(1, 1, 2, 2\) and padding \(1, 1\) .* 0 x 1 pixels; lower padding",
    ),
    "less than nothing": (
        lambda: F.conv_transpose2d(zeros(1, 1, 1, 1), zeros(1, 1, 1, 1), padding=2), r"images of -3 x -3 pixels; lower padding"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_the_function_the_shapes_and_what_is_wrong(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@names
def test_an_argument_that_is_not_a_tensor_is_named(name: str) -> None:
    function = getattr(F, name)
    for arguments, message in (
        ((X, None), "weight must be a Tensor, not NoneType"),
        ((X.data, W), "x must be a Tensor, not ndarray"),
        ((X, W, W.data), "bias must be a Tensor, not ndarray"),
    ):
        with pytest.raises(TypeError, match=f"^{name}: {message}"):
            function(*arguments)
