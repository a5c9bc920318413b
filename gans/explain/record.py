"""`Recorder`: an observer of the engine that turns one training step into nodes and backward passes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import minigrad
from gans.explain.statistics import brief, summary
from gans.training.trainer import Metrics, Trainer
from minigrad import nn
from minigrad.engine import Node, Op, ancestors
from minigrad.modes import Observer, observing
from minigrad.tensor import Tensor

Json = dict[str, Any]


class Recorder(Observer):
    """Notes what a step does. Everything that it keeps for the page is plain data.

    A node is an applied op or a tensor that no op made. An input of a node has a kind, as the edges of `mg.draw`: "flow" (its
    gradient flows back here), "fixed" (a constant), "flat" (the op has no derivative), "cut" (the value was detached),
    "no_grad" (the op was applied where no graph is built).
    """

    def __init__(self, trainer: Trainer, batch: Sequence[Tensor]) -> None:
        self.nodes: list[Json] = []
        self.passes: list[Json] = []
        self.groups: dict[str, Json] = {}  # calls of modules
        self.events: list[Json] = []  # ops applied and contributions sent, in order: `calls.py` adds the calls of each
        self.kinds: dict[str, type[Op]] = {}
        self.networks = trainer.networks()
        self.names = {id(t): f"{net}.{key}" for net, module in self.networks.items() for key, t in module._state().items()}
        arguments = inspect.signature(trainer.step).parameters
        self.names |= {id(x): name for name, x in zip(arguments, batch, strict=True)}
        self.numbers: dict[Any, int] = {}  # node numbers of ops, and of leaves with their count of changes
        self.arrays: dict[int, int] = {}  # node numbers by the identity of an array: of what is cut off its graph
        self.alive: list[Any] = []  # keeps identities unique
        self.path: list[str] = []  # the calls of modules that are in progress
        self.passed: set[int] = set()  # identities of the modules' arguments
        self.counts: Counter[str] = Counter()
        self.walk: Json | None = None  # the pass that is in progress
        self.new: list[Any] = []  # what the backward method in progress has applied

    # --- modules

    @contextlib.contextmanager
    def modules(self) -> Iterator[None]:
        """Context in which calls of the networks' modules are noted."""
        found = {name: m for net, network in self.networks.items() for name, m in network.named_modules(net)}
        for name, module in found.items():
            about = module.describe()  # now, because it may apply ops, of spectral_norm for example
            module.forward = functools.partial(self._call, name, type(module).__name__, about, module.forward)
        try:
            yield
        finally:
            for module in found.values():
                del module.forward

    def _call(self, name: str, kind: str, about: str, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        self.counts[name] += 1
        key = f"{name}#{self.counts[name]}"
        net, _, short = name.partition(".")
        self.groups[key] = {"label": short or net, "net": net, "kind": kind, "about": about}
        self.path.append(key)
        self.passed |= {id(x) for x in inputs}
        self.alive += inputs
        try:
            return forward(*inputs, **options)
        finally:
            self.path.pop()

    # --- the forward

    def applied(self, op: Op, inputs: Sequence[Any], out: Tensor) -> None:
        if self.walk and not self.walk["create_graph"]:
            self.new.append(op.name)
            return
        self.kinds.setdefault(op.name, type(op))
        rules = op.rules * len(inputs) if op.variadic else op.rules
        found = []
        for i, (x, rule) in enumerate(zip(inputs, rules, strict=True)):
            name = f"{op.input_names[0]}[{i}]" if op.variadic else op.input_names[i]
            found.append({"name": name, **(self._source(x, op, i, rule) if isinstance(x, Tensor) else {"number": repr(x)})})
        plain = {
            name: v for name, v in vars(op).items() if name not in Op.__annotations__ and isinstance(v, int | float | tuple)
        }
        node = self._add(out, "op", op=op.name, inputs=found, settings=", ".join(f"{k} = {v}" for k, v in plain.items()))
        node |= {"order": op.order if op.parents else 0, "graph": bool(op.parents), "path": list(self.path)}
        self.numbers[op] = node["id"]
        self.alive.append(op)
        self.events.append(node)
        if self.walk:
            node["pass"] = len(self.passes)
            self.new.append(node)

    def drawn(self, x: Tensor, distribution: str) -> None:
        self.names[id(x)] = f"noise from {distribution}"
        self.alive.append(x)

    def _source(self, x: Tensor, op: Op, i: int, rule: Any) -> Json:
        number = self._number(x)
        source = self.nodes[number]
        if op.parents and op.parents[i] is not None:
            kind = "flow"
        elif rule is None:
            kind = "flat"
        elif x.requires_grad:
            kind = "no_grad"
        else:
            kind = "cut" if source["graph"] else "fixed"
        return {"node": number, "edge": kind}

    def _number(self, x: Tensor) -> int:
        """The number of a tensor's node, which is a new one for a leaf that was not used before."""
        if x.op in self.numbers:
            return self.numbers[x.op]
        leaf = x, x.changes[0]  # a parameter before and after an update are two nodes
        if leaf in self.numbers:
            return self.numbers[leaf]
        known = self.arrays.get(id(x.data))
        if known is not None and not x.requires_grad:
            return known
        kind = "input" if id(x) not in self.names else {nn.Parameter: "parameter", nn.Buffer: "buffer"}.get(type(x), "input")
        inputs = [] if known is None or kind != "input" else [{"name": "values", "node": known, "edge": "cut"}]
        node = self._add(x, kind, name=self._leaf_name(x), inputs=inputs, order=0, graph=x.requires_grad, path=[])
        self.numbers[leaf] = node["id"]
        return node["id"]

    def _leaf_name(self, x: Tensor) -> str:
        if self.path and not x.requires_grad and id(x) not in self.names and id(x) not in self.passed:
            return f"constant of {self.groups[self.path[-1]]['kind']}"  # a mask, for example
        return self.names.get(id(x), "")

    def _add(self, x: Tensor, kind: str, **facts: Any) -> Json:
        node = {"id": len(self.nodes), "kind": kind, "dtype": str(x.dtype), "value": summary(x.data), **facts}
        self.nodes.append(node)
        self.arrays[id(x.data)] = node["id"]
        self.alive += [x, x.data]
        return node

    # --- the backward

    def walking(self, output: Tensor, targets: Sequence[Node], create_graph: bool) -> None:
        used = {parent for op in ancestors(output.op) for parent in op.parents if isinstance(parent, Tensor)}
        wanted, state = set(targets), {}
        for net, network in self.networks.items():
            for name, p in network.named_parameters():
                state[f"{net}.{name}"] = (
                    ("asked" if p in wanted else "skipped") if p in used else "zero" if p in wanted else "never"
                )
        nets = dict.fromkeys(name.partition(".")[0] for name, how in state.items() if how in ("asked", "zero"))
        self.walk = {
            "output": self._number(output), "create_graph": create_graph, "nets": list(nets), "parameters": state, "turns": [],
            "totals": {}, "targets": [self.numbers[_key(t)] for t in targets if _key(t) in self.numbers],
        }  # fmt: skip

    def sent(self, op: Op, i: int, g: Tensor, contribution: Tensor, total: Tensor) -> None:
        assert self.walk
        turns, number = self.walk["turns"], self.numbers[op]
        if not turns and _key(g) in self.numbers:  # an op of this pass has used the first cotangent
            is_one = g.size == 1 and g.item() == 1
            self.nodes[self.numbers[_key(g)]]["name"] = "seed of the backward" + (": dL/dL = 1" if is_one else "")
        if not turns or turns[-1]["op"] != number:
            turns.append({"op": number, "g": summary(g.data), "sends": []})
        send: Json = {
            "input": i,
            "x": brief(contribution.data),
            "ran": [n if isinstance(n, str) else n["op"] for n in self.new],
        }
        if total is not contribution:
            send["total"] = brief(total.data)
            send["ran"].pop()  # the sum
        turns[-1]["sends"].append(send)
        self.events.append(send)
        for node in self.new if self.walk["create_graph"] else ():
            node["made_by"] = number
            node["path"] = [self._backward_group(key) for key in self.nodes[number]["path"]]
        self.new = []

    def _backward_group(self, key: str) -> str:
        name = f"d{len(self.passes)} {key}"
        self.groups[name] = {**self.groups[key], "label": "∂ " + self.groups[key]["label"], "backward": True}
        return name

    def walked(self, gradients: Mapping[Node, Tensor]) -> None:
        assert self.walk
        for target, g in gradients.items():
            self.walk["totals"][self.numbers[_key(target)]] = summary(g.data)
        self.passes.append(self.walk)
        self.walk, self.new = None, []


def _key(node: Node) -> Any:
    """What a node's number is found by: a parameter before and after an update are two nodes of the page."""
    return node if isinstance(node, Op) else (node, node.changes[0])


def record(trainer: Trainer, batch: Sequence[Tensor]) -> tuple[Recorder, Metrics]:
    """Run one step of the trainer. Returns what was noted, and the step's metrics."""
    recorder = Recorder(trainer, batch)
    with recorder.modules(), observing(recorder):
        metrics = trainer.step(*batch)
    for name, value in metrics.items():
        if value.op in recorder.numbers:
            recorder.nodes[recorder.numbers[value.op]]["name"] = name
    return recorder, metrics


def sources(kind: type[Op]) -> Json:
    """The docstring of an op, where it is defined, and the source of its methods."""
    root = Path(minigrad.__file__).parents[1]
    methods = [
        f"{what}_{name}" for name in kind.input_names for what in ("backward", "fused") if hasattr(kind, f"{what}_{name}")
    ]
    return {
        "formula": inspect.getdoc(kind) or "",
        "file": f"{Path(inspect.getfile(kind)).relative_to(root).as_posix()}:{inspect.getsourcelines(kind)[1]}",
        "forward": _source_of(kind.forward),
        "backward": {name: _source_of(getattr(kind, name)) for name in methods},
    }


def _source_of(method: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(method)).rstrip()
