"""The graph of applied operations, and the walk back along it: reverse-mode differentiation.

A `Tensor` holds an array; an `Op` is a differentiable function. Applying an op to tensors runs its
`forward` on their arrays, and the applied op becomes a node of the graph: it remembers which nodes made its
inputs.

    y = tanh(x * w)              x ----+
    L = (y * y).sum()                  Mul ---- Tanh ====== Mul ---- Sum ---- L
                                 w ----+          (y, twice)

    forward runs left to right and stamps each op with a growing number;
    grad(L, [w]) walks right to left, from the newest op to the oldest, and hands each op the
    cotangent of its output.

The cotangent of a tensor x is dL/dx, the gradient of the final number L with respect to it. An op's
backward turns the cotangent `g` of its output into the cotangents of its inputs; a node that several ops
consume sums what they send. Backward methods are written in the engine's own ops, on Tensors. So with
`create_graph=True` the walk itself builds a graph, and gradients of gradients need no code of their own.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minigrad.arrays import backend
from minigrad.modes import mode, set_grad_enabled
from minigrad.tensor import Array, Shape, Tensor, raw

_clock = itertools.count()  # stamps ops in the order they are applied: an op's parents always have smaller stamps


OUT = -1  # the output, where inputs are numbered


class Rule(NamedTuple):
    """How the cotangent of one input is computed.

    `needs` are the values that the methods take beside the cotangent: numbers of inputs, or OUT.
    """

    backward: Callable[..., Tensor]
    needs: tuple[int, ...]
    fused: Callable[..., Array] | None  # a kernel on arrays that does the same, for when no graph of the gradient is built


_EXPLAINED = ValueError, TypeError, IndexError, OverflowError  # what NumPy says of bad operands


class Op:
    """A differentiable function of arrays; once applied, a node of the graph.

    A subclass gives the formula and, for each input, how a cotangent flows back to it::

        class Mul(Op):
            def forward(self, x, y):
                return x * y

            def backward_x(self, g, y):
                return g * y

            def backward_y(self, g, x):
                return g * x

    `forward` takes arrays (a Python number stays a number) and returns one array. `backward_<input>` takes Tensors and
    returns a Tensor of that input's shape. The parameters it names after `g`, inputs or `out` for the output, are what the
    graph keeps alive; everything else is freed as soon as no other reference to it exists. An input without a backward
    method has derivative zero. For `forward(self, *xs)` the one method is `backward_xs(self, g, i)`.

    Rule: a value that depends on an input may enter a backward method only through these parameters. A raw array kept by
    `forward` would be a constant to the second derivative, which would then be silently wrong. Two kinds of raw arrays are
    safe: piecewise constants, such as the mask of a maximum, and shifts that cancel out of the result.

    A faster backward that is not differentiable, a fused kernel that reuses by-products of the forward, goes into
    `fused_<input>`, which has the same parameters as `backward_<input>` but takes and returns arrays. The engine calls it only
    when no graph of the gradient is being built, so there the rule does not apply, and by-products may be attributes that
    `forward` sets.
    """

    name: ClassVar[str]
    input_names: ClassVar[tuple[str, ...]]
    rules: ClassVar[tuple[Rule | None, ...]]  # one for each input name
    variadic: ClassVar[bool]
    is_real: bool = False  # whether the result is real for integers too: they are converted before `forward`, see `as_real`
    is_view: ClassVar[bool] = False  # whether the output may be a view of the first input's memory

    forward: Callable[..., Array]

    stamp: int
    order: int  # 0 for an op that the program applied, 1 for one that a backward made, 2 for one that its backward made, ...
    parents: Sequence[Op | Tensor | None] = ()  # per input: the op that made it, the leaf itself, or None for no gradient
    input_shapes: Sequence[Shape]
    input_dtypes: Sequence[Any]
    constants: dict[int, list[int]]  # input number -> `Tensor.changes` of a tensor without gradient, by which `draw` names it
    kept: dict[int, Any] | None  # input number -> Tensor or constant; OUT -> array; None once freed
    versions: dict[int, int]  # number of an input, or OUT -> its count of in-place changes when it was kept
    out_changes: list[int]  # the output's `Tensor.changes`, which outlives the output

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__
        if not hasattr(cls, "forward"):
            return  # a base class for a family of ops
        parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
        if any(p.default is not p.empty or p.kind not in (p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
            raise TypeError(f"{cls.__name__}: forward takes inputs only, without defaults; settings belong in __init__")
        cls.input_names = tuple(p.name for p in parameters)
        cls.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        cls.rules = tuple(cls._rule(name) for name in cls.input_names)
        known = {f"{kind}_{name}" for kind in ("backward", "fused") for name in cls.input_names}
        for name in dir(cls):
            if name.startswith(("backward", "fused")) and name not in known:
                raise TypeError(
                    f"{cls.__name__}: {name} is for no input; forward takes {', '.join(cls.input_names)}, "
                    "and for an input x the method is backward_x"
                )

    @classmethod
    def _rule(cls, input_name: str) -> Rule | None:
        method, fused = getattr(cls, f"backward_{input_name}", None), getattr(cls, f"fused_{input_name}", None)
        if fused is not None and (method is None or _parameters(fused) != _parameters(method)):
            raise TypeError(f"{cls.__name__}: fused_{input_name} must have the parameters of a method backward_{input_name}")
        if method is None:
            return None
        names = () if cls.variadic else _parameters(method)[2:]
        if unknown := set(names) - {*cls.input_names, "out"}:
            raise TypeError(
                f"{cls.__name__}: backward_{input_name} takes {', '.join(sorted(unknown))} after the cotangent; "
                f"it can take inputs ({', '.join(cls.input_names)}) and out"
            )
        needs = tuple(OUT if name == "out" else cls.input_names.index(name) for name in names)
        return Rule(method, needs, fused)

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the op: run `forward`, and add the node to the graph if a gradient may be asked for later."""
        if self.parents:
            raise RuntimeError(f"{self.name}: an op object is one node of the graph and can be applied once; make another one")
        inputs = self._converted(inputs)
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        if mode.observer:
            mode.observer.applying(self, inputs)
        try:
            result = self.forward(*arrays)
            if type(result) is not np.ndarray and isinstance(result, tuple | list):
                raise TypeError(f"forward must return one array, not a {type(result).__name__}")
            out = Tensor(result)
        except _EXPLAINED as error:  # NumPy raises subclasses of these, with arguments of their own
            kind = next(kind for kind in _EXPLAINED if isinstance(error, kind))
            raise kind(_explain(self, arrays, error)) from error
        if mode.anomaly and not backend.all_finite(out.data):
            raise FloatingPointError(f"{_signature(self, arrays)} gave {backend.describe_bad_values(out.data)}")
        if self.is_view and backend.may_share_memory(arrays[0], out.data):
            out.changes = inputs[0].changes
        if mode.grad_enabled:
            self._join_graph(inputs, arrays, out)
        if mode.observer:
            mode.observer.applied(self, inputs, out)
        return out

    def _converted(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, with integers as floating-point numbers where the result is real."""
        return as_real(*inputs) if self.is_real else promoted(*inputs)

    def _join_graph(self, inputs: tuple[Any, ...], arrays: list[Any], out: Tensor) -> None:
        """Keep the parents and the values that backward needs, if any input requires gradients."""
        rules = self.rules * len(inputs) if self.variadic else self.rules
        parents: list[Op | Tensor | None] = []
        shapes, dtypes = [], []
        kept: dict[int, Any] = {}
        versions: dict[int, int] = {}
        constants: dict[int, list[int]] = {}
        for x, a, rule in zip(inputs, arrays, rules, strict=True):
            shapes.append(getattr(a, "shape", ()))
            dtypes.append(getattr(a, "dtype", None))
            if rule is None or not isinstance(x, Tensor) or not x.requires_grad:
                if isinstance(x, Tensor):
                    constants[len(parents)] = x.changes
                parents.append(None)
                continue
            parents.append(x.op or x)
            out.requires_grad = True
            for i in rule.needs:
                if i == OUT:  # the array: keeping its Tensor, which points to this op, would make a reference cycle
                    kept[OUT], versions[OUT] = out.data, out.changes[0]
                else:
                    value = kept[i] = inputs[i]
                    if isinstance(value, Tensor):
                        versions[i] = value.changes[0]
        if out.requires_grad:
            self.parents, self.input_shapes, self.input_dtypes = parents, shapes, dtypes
            self.kept, self.versions, self.out_changes = kept, versions, out.changes
            self.constants = constants
            self.stamp, self.order = next(_clock), mode.order
            out.op = self

    def vjp(self, i: int, g: Tensor) -> Tensor:
        """The vector-Jacobian product: the cotangent of input number `i` from the cotangent `g` of the output."""
        if self.kept is None:
            raise RuntimeError(
                f"{self.name}: backward ran through this graph before, and it has been freed. Ask for all gradients in one "
                "grad() call, or run the forward again, or keep the graph with grad(..., create_graph=True)."
            )
        rule = self.rules[0 if self.variadic else i]
        assert rule is not None
        if self.variadic:
            return rule.backward(self, g, i)
        if rule.fused is not None and not mode.grad_enabled:
            x = rule.fused(self, g.data, *(raw(self._recall(need)) for need in rule.needs))
            if mode.anomaly and not backend.all_finite(x):
                raise FloatingPointError(f"the backward of {self.name} gave {backend.describe_bad_values(x)}")
            return Tensor(x)
        return rule.backward(self, g, *map(self._recall, rule.needs))

    def gradient(self, g: Tensor) -> Tensor:
        """The gradient with respect to the output, from its cotangent: the same, unless other processes have a part of it."""
        return g

    def _recall(self, i: int) -> Any:
        """A kept value, as a Tensor that is part of the graph."""
        assert self.kept is not None
        value = self.kept[i]
        changes = self.out_changes if i == OUT else value.changes if isinstance(value, Tensor) else None
        if changes is not None and changes[0] != self.versions[i]:
            raise RuntimeError(self._stale(i, value.shape))
        if i != OUT:
            return value
        out = Tensor(value)
        out.op, out.requires_grad, out.changes = self, True, self.out_changes
        return out

    def _stale(self, i: int, shape: Shape) -> str:
        if i == OUT:
            return (
                f"{self.name}: its output {shape} was changed in place after the forward that made it. "
                "Compute the gradients before the change, or change a copy."
            )
        return (
            f"{self.name}: its input {self.input_names[i]} {shape} was changed in place (by an optimizer step or a "
            "load) after the forward that used it. Compute the gradients before the step, or run the forward again."
        )

    def check_cotangent(self, i: int, x: Any, *shapes: Shape) -> None:
        """An error if what a backward method returned is not a tensor of one of these shapes."""
        if isinstance(x, Tensor) and x.shape in shapes:
            return
        name = self.input_names[0 if self.variadic else i]
        if not isinstance(x, Tensor):
            raise TypeError(f"{self.name}: backward_{name} must return a Tensor, made by ops, not {type(x).__name__}")
        raise ValueError(
            f"{self.name}: backward_{name} returned a cotangent of shape {x.shape} for an input of shape {self.input_shapes[i]}"
        )

    def free(self) -> None:
        """Release the kept values; the node stays, so that a second walk can explain itself."""
        self.kept = None


Node = Op | Tensor  # an applied op, or a leaf


def grad(
    output: Tensor, inputs: Iterable[Tensor], grad_output: Tensor | None = None, create_graph: bool = False
) -> list[Tensor]:
    """Gradients of `output` with respect to each of `inputs`.

    Only the paths from `inputs` to `output` are walked: gradients that were not asked for are not computed.

    Parameters
    ----------
    output : Tensor
        Of one element, unless `grad_output` is given.
    inputs : iterable of Tensor
        Leaves or results of ops. The gradient of one that `output` does not depend on is zero.
    grad_output : Tensor, optional
        The cotangent of `output`, of its shape; ones by default.
    create_graph : bool
        Build a graph of the gradients' computation, so that they can be differentiated again, and keep the graph of
        `output`. A constant gradient, as of a sum, has derivatives of zero. Otherwise each node is freed as soon as its
        backward has run.

    Returns
    -------
    list of Tensor, one for each input, of its shape and dtype
    """
    if isinstance(inputs, Tensor):
        raise TypeError("grad: inputs is a sequence of tensors; write grad(output, [x])")
    if not isinstance(inputs, Iterable):
        raise TypeError(f"grad: inputs are tensors, such as net.parameters(), not an object of type {type(inputs).__name__}")
    inputs = list(inputs)
    for x in inputs:
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: an input is not a Tensor, but of type {type(x).__name__}")
        if not x.requires_grad:
            raise ValueError(f"grad: an input of shape {x.shape} does not require gradients (requires_grad=True)")
    g = _first_cotangent("grad", output, grad_output)
    nodes = [x.op or x for x in inputs]
    found = _walk_back(output, g, nodes, create_graph)
    gradients = [found[n] if n in found else Tensor(backend.zeros_like(x.data)) for n, x in zip(nodes, inputs, strict=True)]
    return [Tensor(g, requires_grad=True) if create_graph and not g.requires_grad else g for g in gradients]


def backward(output: Tensor, grad_output: Tensor | None = None) -> None:
    """Add the gradients of `output` to `.grad` of every leaf it depends on (plain arrays), and free the graph."""
    g = _first_cotangent("backward", output, grad_output)
    leaves = [output] if output.op is None else _leaves(output.op)
    found = _walk_back(output, g, leaves, create_graph=False)
    for leaf in leaves:
        total = found[leaf].data
        leaf.grad = total.copy() if leaf.grad is None else leaf.grad + total


def _first_cotangent(caller: str, output: Tensor, grad_output: Tensor | None) -> Tensor:
    if not output.requires_grad:
        raise ValueError(
            f"{caller}: the output does not depend on any tensor that requires gradients "
            "(or it was computed under no_grad, or detached)"
        )
    if grad_output is None:
        if output.size != 1:
            raise ValueError(f"{caller}: the output has shape {output.shape}; reduce it to one number or give grad_output")
        return Tensor(backend.ones_like(output.data))
    if not isinstance(grad_output, Tensor):
        raise TypeError(f"{caller}: grad_output is a Tensor of the output's shape, not {type(grad_output).__name__}")
    if grad_output.shape != output.shape:
        raise ValueError(f"{caller}: grad_output has shape {grad_output.shape}, the output {output.shape}")
    return grad_output.astype(output.dtype)


def _walk_back(output: Tensor, g: Tensor, targets: Sequence[Node], create_graph: bool) -> dict[Node, Tensor]:
    """Cotangents of the target nodes, for those that `output` depends on."""
    wanted = set(targets)

    # The ops on a path from a target to the output, oldest first. All others are skipped.
    on_path: set[Node] = set(wanted)
    path = []
    for op in sorted(ancestors(output.op), key=operator.attrgetter("stamp")):
        if not on_path.isdisjoint(op.parents):
            on_path.add(op)
            path.append(op)

    # From the newest op to the oldest: when an op's turn comes, all its consumers have sent their cotangents.
    cotangents: dict[Node, Tensor] = {output.op or output: g}
    observer = mode.observer
    if observer:
        observer.walking(output, targets, create_graph)
    with set_grad_enabled(create_graph), _order_after(path if create_graph else []):
        while path:
            op = path.pop()
            g = cotangents[op] if op in wanted else cotangents.pop(op)
            for i, parent in enumerate(op.parents):
                if parent is None or parent not in on_path:
                    continue
                contribution = op.vjp(i, g)
                op.check_cotangent(i, contribution, op.input_shapes[i])
                if contribution.data.dtype != op.input_dtypes[i]:  # a float32 input that met float64 in the op
                    contribution = contribution.astype(op.input_dtypes[i])
                before = cotangents.get(parent)
                cotangents[parent] = contribution if before is None else before + contribution
                if observer:
                    observer.sent(op, i, g, contribution, cotangents[parent])
            if not create_graph:
                op.free()
        found = [(node, cotangents[node]) for node in targets if node in cotangents]
        gradients = {node: node.gradient(g) if isinstance(node, Op) else g for node, g in found}
    if observer:
        observer.walked(gradients)
    return gradients


@contextlib.contextmanager
def _order_after(path: list[Op]) -> Iterator[None]:
    """Context of a backward pass over these ops: ops applied in it are one order higher than they are."""
    before, mode.order = mode.order, 1 + max((op.order for op in path), default=0)
    try:
        yield
    finally:
        mode.order = before


def ancestors(root: Op | None) -> set[Op]:
    """`root` and all ops before it. A loop, not a recursion: a graph may be deeper than Python's stack."""
    todo = [root] if root is not None else []
    found = set(todo)
    while todo:
        for parent in todo.pop().parents:
            if isinstance(parent, Op) and parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def _leaves(root: Op) -> list[Tensor]:
    return list(dict.fromkeys(p for op in ancestors(root) for p in op.parents if isinstance(p, Tensor)))


def as_real(*inputs: Any) -> tuple[Any, ...]:
    """Tensors of integers or booleans as floating-point ones, of the dtype of the others, float32 by default, as in PyTorch.

    A formula evaluated in an integer's own type would wrap around: -1 is 255 in uint8.
    """
    kinds = {x.dtype.kind for x in inputs if isinstance(x, Tensor)}
    if not kinds:  # only Python numbers, of which NumPy would make float64
        return as_real(*map(Tensor, inputs))
    if kinds <= {"f"}:
        return inputs
    dtype = np.result_type(np.float32, *(x.dtype for x in inputs if isinstance(x, Tensor) and x.dtype.kind == "f"))
    return tuple(Tensor(x.data.astype(dtype)) if isinstance(x, Tensor) and x.dtype.kind != "f" else x for x in inputs)


def promoted(*inputs: Any) -> tuple[Any, ...]:
    """Inputs of one operation: integers get the dtype of the floating-point numbers beside them, as in PyTorch.

    int32 with float32 is float32; NumPy would compute in float64.
    """
    if all(isinstance(x, Tensor) and x.dtype.kind == "f" for x in inputs):
        return inputs  # the common case
    if not any(isinstance(x, Tensor) for x in inputs):
        return promoted(*map(Tensor, inputs))
    found = [x.dtype.kind if isinstance(x, Tensor) else "f" if type(x) is float else "" for x in inputs]
    return as_real(*inputs) if "f" in found else inputs


def _parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(method).parameters)


def _signature(op: Op, arrays: Sequence[Any]) -> str:
    names = [f"{op.input_names[0]}[{i}]" for i in range(len(arrays))] if op.variadic else op.input_names
    shown = [f"{name} {getattr(a, 'shape', a)}" for name, a in zip(names, arrays, strict=False)]
    return f"{op.name}({', '.join(shown)})"


def _explain(op: Op, arrays: Sequence[Any], error: Exception) -> str:
    kinds = {type(a).__module__.partition(".")[0] for a in arrays if hasattr(a, "shape")}
    if len(kinds) > 1:
        return f"{_signature(op, arrays)}: inputs on different backends ({', '.join(sorted(kinds))}); move them with .to(...)"
    return f"{_signature(op, arrays)}: {error}"
