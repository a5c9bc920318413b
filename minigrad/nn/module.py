"""`Module`: a function with parameters, and what can be done to all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Self

import numpy as np

from minigrad import from_pytorch, parallel
from minigrad.arrays import backend
from minigrad.ops.collectives import shared, whole_on_each
from minigrad.tensor import Array, Tensor

__all__ = ["Buffer", "Module", "Parameter"]


class Parameter(Tensor):
    """A tensor that is trained. It owns its memory: the data is copied."""

    _is_state = True

    def __init__(self, data: Any) -> None:
        super().__init__(Tensor(data).data.copy(order="K"), requires_grad=True)


class Buffer(Tensor):
    """A tensor that is part of a module's state but not trained, such as a running mean."""

    _is_state = True


class _Parameters(list[Parameter]):
    """A list that explains itself where PyTorch's iterator is expected."""

    def __next__(self) -> NoReturn:
        raise TypeError("parameters() is a list: for next(net.parameters()) write net.parameters()[0]")


class Module:
    """Base of all layers and networks.

    A subclass sets parameters, buffers and other modules as attributes in `__init__`, where they are
    registered in that order, and computes its output in `forward`. Calling the module calls `forward`, with any arguments.
    """

    training: bool = True
    forward: Callable[..., Any]

    def __init__(self) -> None:
        """A module without settings. Nothing needs this call from a subclass's `__init__`."""

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not hasattr(type(self), "forward"):
            raise NotImplementedError(f"{type(self).__name__} has no forward")
        ranks = parallel.current()
        if ranks is None or ranks.share is not None:
            return self.forward(*inputs, **options)
        return (shared if self.training else whole_on_each)(ranks, self.forward, inputs, options)

    def children(self) -> Iterator[Module]:
        """The modules that are direct attributes."""
        return (child for _, child in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are direct attributes, with their names.

        TypeError if a list, tuple or dict holds modules or parameters, which would be neither trained nor saved.
        """
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple | dict) and _holds_layers(value):
                raise TypeError(
                    f"{type(self).__name__}: the {type(value).__name__} `{name}` holds modules or parameters, which are not "
                    f"found there: write self.{name} = nn.ModuleList([...]), or one attribute for each"
                )

    def modules(self) -> Iterator[Module]:
        """This module and all of its descendants."""
        return (module for _, module in self.named_modules())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module, under the name "", and all of its descendants with their dotted names, such as "0.1"."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call the function with every descendant, and then with this module itself, as to set initial weights."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(from_pytorch.missing("Module", name, type(self).__name__))

    def __setattr__(self, name: str, value: Any) -> None:
        before, parts = vars(self).get(name), (Parameter, Buffer, Module)
        if isinstance(before, parts) and not (value is None or isinstance(value, parts)):
            kind = next(part.__name__ for part in parts if isinstance(before, part))
            new = f"self.{name}.assign(...) for new values, or " if isinstance(before, Tensor) else ""
            raise TypeError(
                f"{type(self).__name__}.{name} is a {kind}; an object of type {type(value).__name__} in its place would not be "
                f"part of the module's state: write {new}self.{name} = {f'nn.{kind}(...)' if new else 'another module'}"
            )
        object.__setattr__(self, name, value)

    def _named(self, *kinds: type[Tensor], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Tensors of these kinds by dotted name: the module's own, kind by kind, then its children's."""
        for kind in kinds:
            yield from ((prefix + name, value) for name, value in vars(self).items() if isinstance(value, kind))
        for name, child in self.named_children():
            yield from child._named(*kinds, prefix=f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, such as "0.weight"; a shared parameter once, under its first name."""
        first_names: dict[Any, str] = {}
        for name, parameter in self._named(Parameter):
            first_names.setdefault(parameter, name)
        return ((name, parameter) for parameter, name in first_names.items())

    def parameters(self) -> list[Parameter]:
        """Every parameter, once."""
        found = (value for module in self.modules() for value in vars(module).values() if isinstance(value, Parameter))
        return _Parameters(dict.fromkeys(found))

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
        if not isinstance(arrays, Mapping):
            raise TypeError("load_state_dict takes arrays by name, as mg.load(path) and net.state_dict() return them")
        own = self._state()
        new = {name: backend.as_array(a.data if isinstance(a, Tensor) else a) for name, a in arrays.items() if name in own}
        problems = [f"{name} is missing" for name in own.keys() - new.keys()]
        problems += [f"{name} is unknown" for name in arrays.keys() - own.keys()]
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
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        note = f"  # {count:,} parameters" if count else ""
        return "\n  ".join([head + note, *lines])


def _holds_layers(value: Any) -> bool:
    """Whether a list, tuple or dict holds a module or a parameter, at any depth."""
    parts = value.values() if isinstance(value, dict) else value
    return any(_holds_layers(p) if isinstance(p, list | tuple | dict) else isinstance(p, Module | Parameter) for p in parts)


def check_dtype(layer: Module, x: Tensor, weight: Tensor | None) -> None:
    """TypeError if the input has another dtype than the layer's weight; NumPy's rules would continue in float64, unasked."""
    if weight is not None and x.dtype != weight.dtype:
        raise TypeError(
            f"{type(layer).__name__}({layer.describe()}): x is {x.dtype} and the weights are {weight.dtype}; "
            f"write x.astype(np.{weight.dtype})"
        )
