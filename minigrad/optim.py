"""Optimizers: they change parameters in place, given their gradients.

    optimizer = optim.Adam(net.parameters(), lr=3e-4)
    optimizer.step(mg.grad(loss, net.parameters()))

Defaults, names and numbers are PyTorch's. Each step is one pass over memory, done by the backend's kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minigrad import capture
from minigrad.backend import array_module, as_array, is_gpu, kernels, move, name_of, to_numpy, zeros_like
from minigrad.layout import is_dense
from minigrad.tensor import Array, Tensor

CHECK_EVERY = 100  # steps on the GPU between two looks for bad gradients


class Optimizer:
    """What optimizers share: the parameters, the state kept for each of them, and what a step checks.

    Parameters
    ----------
    params : iterable of Tensor
        To be changed in place. They must fill one piece of memory, as `nn.Parameter` makes them.
    lr : float
        Learning rate; may be changed between steps. (The other numbers of a captured step stay as they were.)
    """

    state_names: tuple[str, ...] = ()  # one array like the parameter under each name, for each parameter

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        _check(type(self).__name__, lr >= 0, f"lr is {lr}; it must be 0 or more")
        self.lr = lr
        self.steps = 0
        self.state = {name: [zeros_like(p.data) for p in self.params] for name in self.state_names}
        self._check_params()
        # How many elements of each gradient were NaN or infinite since the last check.
        self._bad = array_module(self.params[0].data).zeros(len(self.params), "int32")

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        if recording := capture.recording():
            recording.refuse(
                f"{type(self).__name__}: lr is set in a step that is being captured, which would not be repeated; "
                "set it in a function that the step gives to minigrad.capture.on_host"
            )
        self._lr = lr

    def _check_params(self) -> None:
        """A kernel changes flat memory in place, and would change a copy of anything else."""
        for i, p in enumerate(self.params):
            if not is_dense(p.data):
                raise ValueError(f"{type(self).__name__}: parameter {i} {p.shape} has gaps in memory or repeats elements")
            if any(is_gpu(each[i]) != is_gpu(p.data) or each[i].dtype != p.dtype for each in self.state.values()):
                raise ValueError(
                    f"{type(self).__name__}: parameter {i} {p.shape} has another dtype or backend than when the optimizer was "
                    "made; make optimizers after net.to(...)"
                )

    def step(self, grads: Sequence[Tensor] | None = None) -> None:
        """Change every parameter, given its gradient; without `grads`, by the `.grad` that `backward()` left.

        A gradient with NaN or infinite elements raises FloatingPointError; the elements in question stay as they were.
        """
        arrays = self._grads_in_place() if grads is None else [g.data for g in grads]
        if [a.shape for a in arrays] != [p.shape for p in self.params]:
            raise ValueError(
                f"{type(self).__name__}: the gradients' shapes {[a.shape for a in arrays]} are not "
                f"the parameters' {[p.shape for p in self.params]}"
            )
        self._check_params()
        capture.on_host(self._count)
        self._update([p.data for p in self.params], arrays)
        if not is_gpu(self.params[0].data):
            capture.on_host(self.check)
        elif not capture.recording() and self.steps % CHECK_EVERY == 0:
            self.check()

    def _count(self) -> None:
        """What the host has to do in a step."""
        self.steps += 1
        for p in self.params:
            p.changes[0] += 1

    def check(self) -> None:
        """Raise BadGradient if a gradient had NaN or infinite elements in a step since the last check.

        On the CPU every step ends with this. On the GPU looking means waiting until all steps are done, so it happens every
        CHECK_EVERY steps (but not where a captured step is replayed), and where the program calls it: where it waits anyway, to
        show a loss or to save weights.
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
        """Forget the `.grad` of every parameter."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, Array]:
        """All that a later run needs to go on exactly: the state arrays, "name.index", and "steps"."""
        arrays = {f"{name}.{i}": a for name, each in self.state.items() for i, a in enumerate(each)}
        return {"steps": as_array(self.steps), **arrays}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave. ValueError, and nothing changed, if it is of another optimizer."""
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
        lr = capture.again(lambda: self.lr)
        kernels(params[0]).sgd(params, grads, self.state["velocity"], lr, self.momentum, self._bad)


class Adam(Optimizer):
    """Steps of about lr, in the direction of the gradient's running mean over the root of its running mean square.

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
        first, second = self.state["first"], self.state["second"]
        lr, steps = capture.again(lambda: self.lr), capture.again(lambda: self.steps)
        kernels(params[0]).adam(params, grads, first, second, lr, *self.betas, self.eps, steps, self._bad)


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square.    Source: Hinton, Coursera lecture 6e (2012)."""

    state_names = ("square",)

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(params, lr)
        _check("RMSprop", 0 <= alpha < 1, f"alpha is {alpha}; it must be in [0, 1)")
        self.alpha, self.eps = alpha, eps

    def _update(self, params: list[Array], grads: list[Array]) -> None:
        lr = capture.again(lambda: self.lr)
        kernels(params[0]).rmsprop(params, grads, self.state["square"], lr, self.alpha, self.eps, self._bad)


def _check(name: str, holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {otherwise}")
