"""Optimizers: they update parameters in place from their gradients.

    optimizer = optim.Adam(net.parameters(), lr=3e-4)
    optimizer.step(mg.grad(loss, net.parameters()))

Defaults, names and update rules are PyTorch's. Each step is one pass over memory in a fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minigrad.arrays import hooks
from minigrad.arrays.backend import array_module, as_array, is_gpu, kernels, move, name_of, to_numpy, zeros_like
from minigrad.arrays.layout import is_dense
from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers
from minigrad.tensor import Array, Tensor

CHECK_EVERY = 100  # steps on the GPU between two checks for bad gradients


class Optimizer:
    """Base of the optimizers: the parameters, the state kept for each of them, and the checks of a step.

    Parameters
    ----------
    params : iterable of Tensor
        Updated in place. Each must be dense in memory, as `nn.Parameter` is.
    lr : float
        Learning rate. It and all other settings may be changed between steps.
    """

    state_names: tuple[str, ...] = ()  # under each name, one array for each parameter, of its shape

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        _check(type(self).__name__, lr >= 0, f"lr is {lr}; it must be 0 or more")
        self.lr = lr
        self.steps = 0
        self.state = {name: [zeros_like(p.data) for p in self.params] for name in self.state_names}
        self._check_params()
        # For each gradient, the number of NaN and infinite elements since the last check.
        self._bad = array_module(self.params[0].data).zeros(len(self.params), "int32")

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        hooks.refuse(
            f"{type(self).__name__}: lr is set in a step that is being captured, which would not be repeated; "
            "set it in a function that the step passes to minigrad.arrays.hooks.on_host"
        )
        self._lr = lr

    def _check_params(self) -> None:
        """The kernels update flat memory in place; of any other array they would update a copy."""
        for i, p in enumerate(self.params):
            if not is_dense(p.data):
                raise ValueError(f"{type(self).__name__}: parameter {i} {p.shape} has gaps in memory or repeats elements")
            if not is_gpu(p.data) and not p.data.flags.writeable:
                raise ValueError(f"{type(self).__name__}: parameter {i} {p.shape} is read-only memory; give it a copy")
            if any(is_gpu(each[i]) != is_gpu(p.data) or each[i].dtype != p.dtype for each in self.state.values()):
                raise ValueError(
                    f"{type(self).__name__}: parameter {i} {p.shape} changed its dtype or backend after the optimizer was "
                    "created; create optimizers after net.to(...)"
                )

    def step(self, grads: Sequence[Tensor] | None = None) -> None:
        """Update every parameter from its gradient: from `grads`, or by default from the `.grad` that `backward()` left.

        A gradient with NaN or infinite elements raises FloatingPointError; the weights at those elements
        are not updated.
        """
        arrays = self._grads_in_place() if grads is None else [g.data for g in grads]
        if [a.shape for a in arrays] != [p.shape for p in self.params]:
            raise ValueError(
                f"{type(self).__name__}: the gradients' shapes {[a.shape for a in arrays]} are not "
                f"the parameters' {[p.shape for p in self.params]}"
            )
        self._check_params()
        hooks.on_host(self._count)
        self._update([p.data for p in self.params], arrays)
        if not is_gpu(self.params[0].data):
            hooks.on_host(self.check)
        elif not hooks.capturing() and self.steps % CHECK_EVERY == 0:
            self.check()

    def _count(self) -> None:
        """Count the step and the in-place changes."""
        self.steps += 1
        for p in self.params:
            p.changes[0] += 1

    def check(self) -> None:
        """Raise BadGradient if a gradient had NaN or infinite elements in a step since the last check.

        On the CPU every step ends with this check. On the GPU it waits until all steps are done, so it runs
        only every CHECK_EVERY steps, and never in captured steps. Call it yourself where the program
        synchronises anyway: to show a loss or to save weights.
        """
        if (counts := to_numpy(self._bad)).any():
            i = int((counts != 0).argmax())
            p, count = self.params[i], counts[i]
            self._bad.fill(0)
            when = ", added up over the steps since the last check" if is_gpu(p.data) else ""
            raise BadGradient(
                f"the gradient of parameter {i} {p.shape} has {count} NaN or infinite of {p.size} elements{when}", p
            )

    def _grads_in_place(self) -> list[Array]:
        for i, p in enumerate(self.params):
            if p.grad is None:
                raise ValueError(
                    f"{type(self).__name__}: parameter {i} {p.shape} has no .grad; call loss.backward() first, "
                    "or give the gradients: step(mg.grad(loss, params))"
                )
        return [p.grad for p in self.params]

    def _update(self, params: list[Array], grads: list[Array]) -> None:
        """Run the kernel."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set the `.grad` of every parameter to None."""
        for p in self.params:
            p.grad = None

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        """After pickle, which stores state arrays in C order: give them the memory order of their parameters again."""
        vars(self).update(attributes)
        for name, each in self.state.items():
            self.state[name] = [_in_order_of(p.data, a) for p, a in zip(self.params, each, strict=True)]

    def state_dict(self) -> dict[str, Array]:
        """Everything needed to resume exactly: the state arrays as "name.index", and "steps"."""
        arrays = {f"{name}.{i}": a for name, each in self.state.items() for i, a in enumerate(each)}
        return {"steps": as_array(self.steps), **arrays}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned. ValueError, with nothing changed, if it belongs to another optimizer."""
        own = self.state_dict()
        if saved.keys() != own.keys() or any(getattr(saved[key], "shape", ()) != own[key].shape for key in own):
            raise ValueError(f"{type(self).__name__}: the saved state is of another optimizer or other parameters")
        self.steps = int(saved["steps"])
        for name, each in self.state.items():
            for i, a in enumerate(each):
                a[...] = move(as_array(saved[f"{name}.{i}"]), name_of(a))


class BadGradient(FloatingPointError):
    """A gradient holds NaN or infinity; `parameter` is the tensor it belongs to."""

    def __init__(self, message: str, parameter: Tensor) -> None:
        super().__init__(message)
        self.parameter = parameter


class SGD(Optimizer):
    """Stochastic gradient descent:  v = momentum v + g;  p = p - lr v."""

    state_names = ("velocity",)

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        _check("SGD", 0 <= momentum < 1, f"momentum is {momentum}; it must be in [0, 1)")
        self.momentum = momentum

    def _update(self, params: list[Array], grads: list[Array]) -> None:
        kernels(params[0]).sgd(params, grads, self.state["velocity"], self._numbers, self._bad)

    def _numbers(self) -> SGDNumbers:
        return SGDNumbers(self.lr, self.momentum)


class Adam(Optimizer):
    """Adam: the running mean of the gradient over the root of its running mean square, both bias-corrected, times lr.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    state_names = ("first", "second")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr)
        _check("Adam", all(0 <= beta < 1 for beta in betas), f"betas are {betas}; both must be in [0, 1)")
        self.betas, self.eps = betas, eps

    def _update(self, params: list[Array], grads: list[Array]) -> None:
        kernels(params[0]).adam(params, grads, self.state["first"], self.state["second"], self._numbers, self._bad)

    def _numbers(self) -> AdamNumbers:
        return AdamNumbers(self.lr, *self.betas, self.eps, self.steps)


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its running mean square, times lr.    Source: Hinton, lecture 6e (2012)."""

    state_names = ("square",)

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(params, lr)
        _check("RMSprop", 0 <= alpha < 1, f"alpha is {alpha}; it must be in [0, 1)")
        self.alpha, self.eps = alpha, eps

    def _update(self, params: list[Array], grads: list[Array]) -> None:
        kernels(params[0]).rmsprop(params, grads, self.state["square"], self._numbers, self._bad)

    def _numbers(self) -> RMSpropNumbers:
        return RMSpropNumbers(self.lr, self.alpha, self.eps)


def _in_order_of(pattern: Array, a: Array) -> Array:
    """`a` with the memory order of the pattern: itself if it has it already."""
    if a.strides == pattern.strides:
        return a
    copy = zeros_like(pattern)
    copy[...] = a
    return copy


def _check(name: str, holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {otherwise}")
