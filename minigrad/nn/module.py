"""`Module`: a function with parameters, and what can be done to all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from minigrad.arrays import backend
from minigrad.tensor import Array, Tensor

__all__ = ["Buffer", "Module", "Parameter"]


class Parameter(Tensor):
    """A tensor that is trained. It owns its memory: the data is copied."""

    def __init__(self, data: Any) -> None:
        super().__init__(Tensor(data).data.copy(order="K"), requires_grad=True)


class Buffer(Tensor):
    """A tensor that is part of a module's state but not trained, such as a running mean."""


class Module:
    """Base of all layers and networks.

    A subclass sets parameters, buffers and other modules as attributes in `__init__`, where they are
    registered in that order, and computes its output in `forward`. Calling the module calls `forward`.
    """

    training: bool = True

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def children(self) -> dict[str, Module]:
        """The modules that are direct attributes, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def modules(self) -> Iterator[Module]:
        """This module and all of its descendants."""
        yield from self.named_modules().values()

    def named_modules(self, prefix: str = "") -> dict[str, Module]:
        """This module, under the name "", and all of its descendants by dotted name, such as "0.1"."""
        found = {prefix: self}
        for name, child in self.children().items():
            found |= child.named_modules(f"{prefix}.{name}" if prefix else name)
        return found

    def _named(self, *kinds: type[Tensor], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Tensors of these kinds by dotted name: the module's own, kind by kind, then its children's."""
        for kind in kinds:
            yield from ((prefix + name, value) for name, value in vars(self).items() if isinstance(value, kind))
        for name, child in self.children().items():
            yield from child._named(*kinds, prefix=f"{prefix}{name}.")

    def named_parameters(self) -> dict[str, Parameter]:
        """Every parameter by dotted name, such as "0.weight"; a shared parameter is listed once."""
        first_names: dict[int, tuple[str, Any]] = {}
        for name, parameter in self._named(Parameter):
            first_names.setdefault(id(parameter), (name, parameter))
        return dict(first_names.values())

    def parameters(self) -> list[Parameter]:
        """Every parameter, once."""
        found = (value for module in self.modules() for value in vars(module).values() if isinstance(value, Parameter))
        return list(dict.fromkeys(found))

    def buffers(self) -> list[Buffer]:
        """Every buffer, in the order of the state."""
        return [value for value in dict(self._named(Buffer)).values() if isinstance(value, Buffer)]

    def _state(self) -> dict[str, Tensor]:
        """Parameters and buffers, in PyTorch's order, under all their names."""
        return dict(self._named(Parameter, Buffer))

    def state_dict(self) -> dict[str, Array]:
        """The arrays of all parameters and buffers by name; not copies."""
        return {name: tensor.data for name, tensor in self._state().items()}

    def load_state_dict(self, arrays: Mapping[str, Any]) -> None:
        """Copy arrays (on any backend) or tensors into the parameters and buffers of the same names.

        ValueError, with nothing changed, if a name is missing or unknown or a shape differs.
        """
        own = self._state()
        new = {name: backend.as_array(a.data if isinstance(a, Tensor) else a) for name, a in arrays.items()}
        problems = [f"{name} is missing" for name in own.keys() - new.keys()]
        problems += [f"{name} is unknown" for name in new.keys() - own.keys()]
        problems += [
            f"{name} is {new[name].shape} and should be {own[name].shape}"
            for name in own.keys() & new.keys()
            if own[name].shape != new[name].shape
        ]
        if problems:
            raise ValueError(f"{type(self).__name__}: these weights do not fit: {', '.join(sorted(problems))}")
        for name, tensor in own.items():
            tensor.assign(backend.move(new[name], backend.name_of(tensor.data)))

    def train(self, mode: bool = True) -> Self:
        """Switch this module and its descendants to training (dropout on, batch statistics), or with False to evaluation."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)

    def to(self, backend_name: str | None = None, dtype: Any = None) -> Self:
        """Move parameters and buffers to a backend ("numpy" or "cupy"), and floating-point ones to a dtype, in place."""
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"parameters are floating-point numbers; they cannot become {np.dtype(dtype)}")
        for tensor in self._state().values():
            if dtype is not None and tensor.dtype.kind == "f":
                tensor.data = tensor.data.astype(dtype)
            if backend_name is not None:
                tensor.data = backend.move(tensor.data, backend_name)
        return self

    def zero_grad(self) -> None:
        """Set the `.grad` of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def describe(self) -> str:
        """The settings shown in the repr, such as "784, 256"."""
        return ""

    def __repr__(self) -> str:
        count = sum(p.size for p in self.parameters())
        head = f"{type(self).__name__}({self.describe()})"
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children().items()]
        note = f"  # {count:,} parameters" if count else ""
        return "\n  ".join([head + note, *lines])
