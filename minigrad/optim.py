"""Optimizers: they update parameters in place from their gradients.

    optimizer = optim.Adam(net.parameters(), lr=3e-4)
    optimizer.step(mg.grad(loss, net.parameters()))

Defaults, names and update rules are PyTorch's. Each step is one pass over memory in a fused kernel.

A schedule is a learning rate that is a function of the number of steps taken: `lr=optim.cosine_decay(3e-4, 10_000)`. It needs
no object and no state of its own, and holds in captured steps and in runs that are continued.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from minigrad import from_pytorch, parallel
from minigrad.arrays import hooks
from minigrad.arrays.backend import array_module, as_array, is_gpu, kernels, move, name_of, to_numpy, zeros_like
from minigrad.arrays.layout import is_dense
from minigrad.kernels.interface import AdamNumbers, RMSpropNumbers, SGDNumbers
from minigrad.tensor import Array, Tensor, raw

__all__ = [
    "SGD", "Adam", "AdamW", "BadGradient", "Optimizer", "RMSprop", "clip_grad_norm", "clip_grad_norm_", "cosine_decay",
    "linear_decay", "step_decay",
]  # fmt: skip

Rate = float | Callable[[int], float]  # a learning rate, or its schedule: the rate after that many steps
Count = Callable[[], int]
CHECK_EVERY = 100  # steps on the GPU between two checks for bad gradients


class Optimizer:
    """Base of the optimizers: the parameters, the state kept for each of them, and the checks of a step.

    Parameters
    ----------
    params : iterable of Tensor
        Updated in place. Each must be dense in memory, as `nn.Parameter` is.
    lr : float or function
        Learning rate, or a function from the number of steps taken to the rate of the next one. It and all other settings may
        be changed between steps.
    weight_decay : float
        Each gradient is first increased by weight_decay times its parameter (L2 regularisation). AdamW has another rule.
    """

    state_names: tuple[str, ...] = ()  # under each name, one array for each parameter, of its shape

    def __init__(self, params: Iterable[Tensor], lr: Rate, weight_decay: float = 0.0) -> None:
        name = type(self).__name__
        self.params = _listed(name, params)
        _check(name, bool(self.params), "there are no parameters to optimize")
        if strange := [p for p in self.params if not isinstance(p, Tensor)]:
            raise TypeError(f"{name}: {_not_a_parameter(strange[0])}")
        seen: dict[Tensor, int] = {}
        for i, p in enumerate(self.params):
            _check(name, p.op is None, f"parameter {i} {p.shape} was computed; an optimizer updates leaves")
            first = seen.setdefault(p, i)
            _check(name, first == i, f"parameter {i} {p.shape} is parameter {first} again; a step would update it twice")
        _check_numbers(name, {"weight_decay": weight_decay} | ({} if callable(lr) else {"lr": lr}))
        _check(name, callable(lr) or lr >= 0, f"lr is {lr}; it must be 0 or more")
        _check(name, weight_decay >= 0, f"weight_decay is {weight_decay}; it must be 0 or more")
        self.lr, self.weight_decay = lr, weight_decay
        self.steps = 0
        self.skipped = [0] * len(self.params)  # for each parameter, the steps in which it had no gradient
        self.state = {name: [zeros_like(p.data) for p in self.params] for name in self.state_names}
        self._check_params()
        # For each gradient, the number of NaN and infinite elements since the last check.
        self._bad = array_module(self.params[0].data).zeros(len(self.params), "int32")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(from_pytorch.missing("Optimizer", name))

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._rate(self.steps)

    @lr.setter
    def lr(self, lr: Rate) -> None:
        hooks.refuse(
            f"{type(self).__name__}: lr is set in a step that is being captured, which would not be repeated; "
            "set it in a function that the step passes to minigrad.arrays.hooks.on_host"
        )
        self._lr = lr

    def _rate(self, steps: int) -> float:
        return self._lr(steps) if callable(self._lr) else self._lr

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

        Parameters without `.grad`, or with requires_grad False, are skipped. A gradient with NaN or infinite elements raises
        FloatingPointError; the weights at those elements are not updated.
        """
        arrays = self._grads_in_place() if grads is None else _arrays(type(self).__name__, grads)
        shapes = [p.shape if a is None else a.shape for a, p in zip(arrays, self.params, strict=False)]
        if len(arrays) != len(self.params) or shapes != [p.shape for p in self.params]:
            raise ValueError(
                f"{type(self).__name__}: the gradients' shapes {[getattr(a, 'shape', None) for a in arrays]} are not "
                f"the parameters' {[p.shape for p in self.params]}"
            )
        self._check_params()
        if ranks := parallel.current():
            arrays = ranks.sum_gradients(arrays, [p.data for p in self.params])
        used = {i for i, a in enumerate(arrays) if a is not None}
        hooks.on_host(lambda: self._count(used))
        if len(used) == len(arrays) and not any(self.skipped):
            self._launch(slice(0, len(arrays)), arrays, self._bad)
        else:
            for i in sorted(used):  # each has taken its own number of steps
                self._launch(slice(i, i + 1), arrays, self._bad[i : i + 1])
        if not is_gpu(self.params[0].data):
            hooks.on_host(self.check)
        elif not hooks.capturing() and self.steps % CHECK_EVERY == 0:
            self.check()

    def _count(self, used: set[int]) -> None:
        """Count the step and the in-place changes."""
        self.steps += 1
        for i, p in enumerate(self.params):
            if i in used:
                p.changes[0] += 1
            else:
                self.skipped[i] += 1

    def check(self) -> None:
        """Raise BadGradient if a gradient had NaN or infinite elements in a step since the last check.

        On the CPU every step ends with this check. On the GPU it waits until all steps are done, so it runs
        only every CHECK_EVERY steps, and never in captured steps. Call it yourself where the program
        synchronises anyway: to show a loss or to save weights.
        """
        if np.count_nonzero(counts := to_numpy(self._bad)):
            i = int((counts != 0).argmax())
            p, count = self.params[i], counts[i]
            self._bad.fill(0)
            when = ", added up over the steps since the last check" if is_gpu(p.data) else ""
            raise BadGradient(
                f"the gradient of parameter {i} {p.shape} has {count} NaN or infinite of {p.size} elements{when}", p
            )

    def _grads_in_place(self) -> list[Array | None]:
        grads = [raw(p.grad) if p.requires_grad else None for p in self.params]
        if all(g is None for g in grads):
            raise ValueError(
                f"{type(self).__name__}: no parameter has a .grad; call loss.backward() first, "
                "or give the gradients: step(mg.grad(loss, params))"
            )
        return grads

    def _launch(self, group: slice, grads: list[Array | None], bad: Array) -> None:
        """Update a group of parameters that have taken equally many steps."""
        params = [p.data for p in self.params[group]]
        state = [self.state[name][group] for name in self.state_names]
        self._update(params, grads[group], state, bad, lambda: self.steps - self.skipped[group.start])

    def _update(self, params: list[Array], grads: list[Any], state: list[list[Array]], bad: Array, step: Count) -> None:
        """Run the kernel; `step()` is the number of the parameters' step, from 1."""
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
        """Everything needed to resume exactly: the state arrays as "name.index", "steps", and "skipped" if any ever was."""
        arrays = {f"{name}.{i}": a for name, each in self.state.items() for i, a in enumerate(each)}
        skipped = {"skipped": as_array(self.skipped)} if any(self.skipped) else {}
        return {"steps": as_array(self.steps), **skipped, **arrays}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned. ValueError, with nothing changed, if it belongs to another optimizer."""
        own = self.state_dict() | {"skipped": as_array(self.skipped)}
        saved = {"skipped": as_array([0] * len(self.params)), **saved}
        if saved.keys() != own.keys() or any(getattr(saved[key], "shape", ()) != own[key].shape for key in own):
            raise ValueError(f"{type(self).__name__}: the saved state is of another optimizer or other parameters")
        self.steps, self.skipped = int(saved["steps"]), [int(n) for n in to_numpy(saved["skipped"])]
        for name, each in self.state.items():
            for i, a in enumerate(each):
                a[...] = move(as_array(saved[f"{name}.{i}"]), name_of(a))


class BadGradient(FloatingPointError):
    """A gradient holds NaN or infinity; `parameter` is the tensor it belongs to."""

    def __init__(self, message: str, parameter: Tensor) -> None:
        super().__init__(message)
        self.parameter = parameter

    def __reduce__(self) -> Any:  # else pickle would give the message alone to __init__
        return type(self), (*self.args, self.parameter)


class SGD(Optimizer):
    """Stochastic gradient descent:  v = momentum v + g;  p = p - lr v."""

    state_names = ("velocity",)

    def __init__(self, params: Iterable[Tensor], lr: Rate = 1e-3, momentum: float = 0.0, *, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, weight_decay)
        _check_numbers("SGD", {"momentum": momentum})
        _check("SGD", 0 <= momentum < 1, f"momentum is {momentum}; it must be in [0, 1)")
        self.momentum = momentum

    def _update(self, params: list[Array], grads: list[Any], state: list[list[Array]], bad: Array, step: Count) -> None:
        kernels(params[0]).sgd(params, grads, state[0], self._numbers, bad)

    def _numbers(self) -> SGDNumbers:
        return SGDNumbers(self._rate(self.steps - 1), self.momentum, self.weight_decay)


class Adam(Optimizer):
    """Adam: the running mean of the gradient over the root of its running mean square, both bias-corrected, times lr.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    state_names = ("first", "second")

    def __init__(
        self, params: Iterable[Tensor], lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        name, both = type(self).__name__, tuple(betas) if isinstance(betas, Iterable) else ()
        if len(both) != 2:
            raise TypeError(f"{name}: betas are {betas!r}; they must be two numbers, as (0.9, 0.999)")
        _check_numbers(name, {"beta 1": both[0], "beta 2": both[1], "eps": eps})
        _check(name, all(0 <= beta < 1 for beta in both), f"betas are {both}; both must be in [0, 1)")
        self.betas, self.eps = both, eps

    def _update(self, params: list[Array], grads: list[Any], state: list[list[Array]], bad: Array, step: Count) -> None:
        kernels(params[0]).adam(params, grads, state[0], state[1], lambda: self._numbers(step()), bad)

    def _numbers(self, step: int) -> AdamNumbers:
        return AdamNumbers(self._rate(self.steps - 1), *self.betas, self.eps, step, decay=self.weight_decay)


class AdamW(Adam):
    """Adam with decoupled weight decay: each step first multiplies the parameters by 1 - lr weight_decay.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay)

    def _numbers(self, step: int) -> AdamNumbers:
        numbers = super()._numbers(step)
        return numbers._replace(decay=0.0, keep=1 - numbers.lr * self.weight_decay)


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its running mean square, times lr.    Source: Hinton, lecture 6e (2012)."""

    state_names = ("square",)

    def __init__(
        self, params: Iterable[Tensor], lr: Rate = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, weight_decay)
        _check_numbers("RMSprop", {"alpha": alpha, "eps": eps})
        _check("RMSprop", 0 <= alpha < 1, f"alpha is {alpha}; it must be in [0, 1)")
        self.alpha, self.eps = alpha, eps

    def _update(self, params: list[Array], grads: list[Any], state: list[list[Array]], bad: Array, step: Count) -> None:
        kernels(params[0]).rmsprop(params, grads, state[0], self._numbers, bad)

    def _numbers(self) -> RMSpropNumbers:
        return RMSpropNumbers(self._rate(self.steps - 1), self.alpha, self.eps, self.weight_decay)


def linear_decay(lr: float, steps: int, start: int = 0) -> Callable[[int], float]:
    """A schedule: lr until `start` steps are taken, then falling linearly to 0 after `steps`."""
    return functools.partial(_linear, lr, steps, start)


def cosine_decay(lr: float, steps: int, end: float = 0.0) -> Callable[[int], float]:
    """A schedule: from lr to `end` after `steps`, along half a cosine.    Source: Loshchilov and Hutter, "SGDR", ICLR 2017."""
    return functools.partial(_cosine, lr, steps, end)


def step_decay(lr: float, every: int, factor: float = 0.1) -> Callable[[int], float]:
    """A schedule: lr, multiplied by `factor` after every `every` steps."""
    return functools.partial(_steps, lr, every, factor)


# The schedules themselves are functions with names, because pickle, which copies optimizers to other processes, needs names.


def _linear(lr: float, steps: int, start: int, taken: int) -> float:
    return lr * min(1.0, max(steps - taken, 0) / (steps - start)) if steps > start else lr


def _cosine(lr: float, steps: int, end: float, taken: int) -> float:
    return end + (lr - end) * (1 + math.cos(math.pi * min(taken / steps, 1))) / 2


def _steps(lr: float, every: int, factor: float, taken: int) -> float:
    return lr * factor ** (taken // every)


def clip_grad_norm(grads: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """The gradients, scaled down together where their joint Euclidean norm exceeds max_norm: `step(clip_grad_norm(...))`."""
    return [Tensor(g) for g in _clipped(_arrays("clip_grad_norm", grads), max_norm)[0]]


def clip_grad_norm_(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Clip the `.grad` of the parameters as `clip_grad_norm` does. Returns the norm before.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
    """
    given = [p for p in _listed("clip_grad_norm_", params) if p.grad is not None]
    clipped, norm = _clipped([raw(p.grad) for p in given], max_norm)
    for p, g in zip(given, clipped, strict=True):
        p.grad = g
    return Tensor(norm)


def _clipped(grads: list[Array], max_norm: float) -> tuple[list[Array], Array]:
    """The clipped gradients and their norm; PyTorch's formula. The norm is not read, so that a step can be captured."""
    if not grads:
        return [], np.zeros((), np.float32)
    xp, ranks = array_module(*grads), parallel.current()
    whole: list[Any] = ranks.sum_gradients(grads, grads) if ranks else grads  # the step will sum what is clipped here
    norm = xp.sqrt(sum((g * g).sum() for g in whole))
    factor = xp.minimum(max_norm / (norm + 1e-6), 1)
    return [(g * factor).astype(g.dtype, copy=False) for g in grads], norm


def _listed(caller: str, tensors: Iterable[Tensor]) -> list[Tensor]:
    """TypeError for one tensor, whose rows would be taken for the tensors, and for a module or its method."""
    if isinstance(tensors, Tensor):
        raise TypeError(f"{caller} takes several tensors; write [p] for one")
    if callable(tensors):
        raise TypeError(f"{caller} takes tensors, not a {type(tensors).__name__}; write net.parameters()")
    return list(tensors)


def _arrays(caller: str, grads: Iterable[Tensor]) -> list[Any]:
    """The arrays of the gradients. TypeError if one is not a tensor."""
    listed = _listed(caller, grads)
    for i, g in enumerate(listed):
        if not isinstance(g, Tensor):
            raise TypeError(f"{caller}: gradient {i} is of type {type(g).__name__}, not a Tensor, as mg.grad returns them")
    return [g.data for g in listed]


def _not_a_parameter(given: Any) -> str:
    if isinstance(given, dict):
        return "there are no parameter groups; make one optimizer for each group"
    return f"the parameters are tensors, not {type(given).__name__}; named_parameters() gives names too, parameters() does not"


def _in_order_of(pattern: Array, a: Array) -> Array:
    """`a` with the memory order of the pattern: itself if it has it already."""
    if a.strides == pattern.strides:
        return a
    copy = zeros_like(pattern)
    copy[...] = a
    return copy


def _check_numbers(name: str, settings: Mapping[str, Any]) -> None:
    for setting, value in settings.items():
        if isinstance(value, str) or not hasattr(value, "__float__"):
            more = ", or a function from the steps taken to a number" if setting == "lr" else ""
            raise TypeError(f"{name}: {setting} is {value!r}; it must be a number{more}")


def _check(name: str, holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {otherwise}")


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(from_pytorch.missing("optim", name))
