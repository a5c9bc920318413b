"""What PyTorch calls differently: one table, from which the error messages and the README's "Coming from PyTorch" are made.

A row with an `owner` is a name that minigrad does not have: using it is an AttributeError that says what to write instead.
Other rows are only for the README. The tests run both sides of every row and compare them. Names that have no other side are
in `SENTENCES`, and arguments in `ARGUMENTS`.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Row(NamedTuple):
    pytorch: str
    minigrad: str
    owner: str = ""  # "Tensor", "Module", "Optimizer", "functional", "nn", "init", "optim", "minigrad", "" for the README
    names: str = ""  # the names that the owner does not have, separated by spaces

    def written_with(self, name: str) -> Row:
        """The row for another of its names. The first name is the one in the row; it is replaced if both sides have it."""
        word = rf"\b{re.escape(self.names.partition(' ')[0])}\b"
        if not (re.search(word, self.pytorch) and re.search(word, self.minigrad)):
            return self
        return self._replace(pytorch=re.sub(word, name, self.pytorch), minigrad=re.sub(word, name, self.minigrad))


ROWS = [
    Row("torch.tensor([1.0, 2.0])", "mg.Tensor([1.0, 2.0])", "minigrad", "tensor as_tensor from_numpy FloatTensor"),
    Row("torch.zeros(2, 3)", "mg.Tensor(np.zeros((2, 3), np.float32))", "minigrad", "zeros ones empty"),
    Row("torch.full((2, 3), 0.5)", "mg.Tensor(np.full((2, 3), 0.5, np.float32))", "minigrad", "full"),
    Row("torch.arange(3)", "mg.Tensor(np.arange(3))", "minigrad", "arange"),
    Row("torch.eye(3)", "mg.Tensor(np.eye(3, dtype=np.float32))", "minigrad", "eye"),
    Row("torch.linspace(0, 1, 5)", "mg.Tensor(np.linspace(0, 1, 5, dtype=np.float32))", "minigrad", "linspace"),
    Row("torch.zeros_like(x)", "mg.Tensor(np.zeros_like(x.data))", "minigrad", "zeros_like ones_like empty_like"),
    Row("torch.randn_like(x)", "mg.randn(x.shape)", "minigrad", "randn_like"),
    Row("torch.rand_like(x)", "mg.rand(x.shape)", "minigrad", "rand_like"),
    Row("torch.float32", "np.float32", "minigrad", "float32 float64 int32 int64 uint8"),
    Row("torch.mm(x, x.T)", "F.matmul(x, x.T)", "minigrad", "mm"),
    Row("x.sum(dim=1, keepdim=True)", "x.sum(axis=1, keepdims=True)"),
    Row("x.max(1).values", "x.max(1)"),
    Row("x.max(1).indices", "x.argmax(1)"),
    Row("x.amax(1)", "x.max(1)", "Tensor", "amax"),
    Row("x.amin(1)", "x.min(1)", "Tensor", "amin"),
    Row("x.var(1)", "x.var(1, ddof=1)"),
    Row("x.std()", "x.std(ddof=1)"),
    Row("(x == y).all()", "(x == y).numpy().all()", "Tensor", "all any"),
    Row("x.eq(y)", "x == y", "Tensor", "eq"),
    Row("x.index_select(0, labels)", "x[labels]", "Tensor", "index_select"),
    Row("x.gather(1, labels.reshape(3, 1))", "x[np.arange(3), labels].reshape(3, 1)", "Tensor", "gather"),
    Row("x.add(y)", "x + y", "Tensor", "add"),
    Row("x.sub(y)", "x - y", "Tensor", "sub"),
    Row("x.mul(y)", "x * y", "Tensor", "mul"),
    Row("x.div(2)", "x / 2", "Tensor", "div"),
    Row("x.sign()", "mg.Tensor(np.sign(x.data))", "Tensor", "sign floor ceil round"),
    Row("x.mm(x.T)", "x @ x.T", "Tensor", "mm"),
    Row("x.transpose(0, 1)", "x.swapaxes(0, 1)"),
    Row("x.permute(1, 0)", "x.transpose(1, 0)"),
    Row("x.t()", "x.T", "Tensor", "t"),
    Row("x.mT", "x.swapaxes(-1, -2)", "Tensor", "mT"),
    Row("x.expand(4, 3, 2)", "F.broadcast_to(x, (4, 3, 2))", "Tensor", "expand expand_as broadcast_to"),
    Row("x.repeat(2, 1)", "F.cat([x, x])", "Tensor", "repeat tile"),
    Row("x.repeat_interleave(2, 0)", "x[np.repeat(np.arange(3), 2)]", "Tensor", "repeat_interleave"),
    Row("x.chunk(3, 1)", "F.split(x, 1, 1)", "Tensor", "chunk"),
    Row("x.unbind(0)", "list(x)", "Tensor", "unbind"),
    Row("x.size(1)", "x.shape[1]"),
    Row("x.float()", "x.astype(np.float32)", "Tensor", "float"),
    Row("x.double()", "x.astype(np.float64)", "Tensor", "double"),
    Row("x.long()", "x.astype(np.int64)", "Tensor", "long int"),
    Row("x.bool()", "x.astype(bool)", "Tensor", "bool"),
    Row("x.tolist()", "x.numpy().tolist()", "Tensor", "tolist"),
    Row("x.cpu()", 'x.to("numpy")', "Tensor", "cpu"),
    Row("x.cuda()", 'x.to("cupy")', "Tensor", "cuda"),
    Row("x.contiguous()", "x", "Tensor", "contiguous"),
    Row("x.square()", "x**2", "Tensor", "square"),
    Row("x.flip(0)", "F.flip(x, 0)", "Tensor", "flip"),
    Row("x.norm()", "F.norm(x)", "Tensor", "norm"),
    Row("x.masked_fill(x > 0, 5.0)", "F.where(x > 0, 5.0, x)", "Tensor", "masked_fill"),
    Row("x.clone().add_(1)", "x + 1"),
    Row("torch.cat([x, x], dim=1)", "F.cat([x, x], axis=1)"),
    Row("torch.exp(x)", "F.exp(x)"),
    Row("F.nll_loss(F.log_softmax(x, 1), labels)", "F.cross_entropy(x, labels)", "functional", "nll_loss"),
    Row("F.adaptive_avg_pool2d(images, 1)", "images.mean((2, 3), keepdims=True)", "functional", "adaptive_avg_pool2d"),
    Row("torch.clamp(x, min=0)", "F.clip(x, low=0)", "functional", "clamp"),
    Row("torch.einsum('ij,kj->ik', x, x)", "x @ x.T", "functional", "einsum"),
    Row("F.one_hot(labels, 3).float()", "mg.Tensor(np.eye(3, dtype=np.float32)[labels.data])", "functional", "one_hot"),
    Row("F.normalize(x, dim=1)", "x / F.maximum(F.norm(x, axis=1, keepdims=True), 1e-12)", "functional", "normalize"),
    Row("F.softmax(x, dim=1)", "F.softmax(x, axis=1)"),
    Row("nn.MSELoss()(x, y)", "F.mse_loss(x, y)", "nn", "MSELoss"),
    Row("nn.L1Loss()(x, y)", "F.l1_loss(x, y)", "nn", "L1Loss"),
    Row("nn.BCELoss()(p, y)", "F.binary_cross_entropy(p, y)", "nn", "BCELoss"),
    Row("nn.BCEWithLogitsLoss()(x, y)", "F.binary_cross_entropy_with_logits(x, y)", "nn", "BCEWithLogitsLoss"),
    Row("nn.CrossEntropyLoss()(x, labels)", "F.cross_entropy(x, labels)", "nn", "CrossEntropyLoss NLLLoss"),
    Row("nn.Unflatten(1, (2, 1))(x)", "nn.Reshape(2, 1)(x)", "nn", "Unflatten"),
    Row("nn.utils.clip_grad_norm_(net.parameters(), 1.0)", "optim.clip_grad_norm_(net.parameters(), 1.0)"),
    Row("nn.utils.spectral_norm(layer)", "nn.spectral_norm(layer)"),
    Row("nn.functional.relu(x)", "F.relu(x)"),
    Row("w.data.clamp_(-0.1, 0.1)", "w.assign(np.clip(w.data, -0.1, 0.1))"),
    Row("w.data.mul_(0.9).add_(x, alpha=0.1)", "w.assign(0.9 * w.data + 0.1 * x.data)"),
    Row("w.data.normal_(0.0, 0.02)", "w.assign(nn.init.normal(w.shape, 0.0, 0.02))"),
    Row("nn.init.normal_(w, 0.0, 0.02)", "w.assign(nn.init.normal(w.shape, 0.0, 0.02))", "init", "normal_"),
    Row("nn.init.uniform_(w, -0.1, 0.1)", "w.assign(nn.init.uniform(w.shape, -0.1, 0.1))", "init", "uniform_"),
    Row("nn.init.constant_(w, 0.5)", "w.assign(0.5)", "init", "constant_"),
    Row("nn.init.zeros_(w)", "w.assign(0)", "init", "zeros_"),
    Row("nn.init.ones_(w)", "w.assign(1)", "init", "ones_"),
    Row('net.register_buffer("mean", x)', "net.mean = nn.Buffer(x)", "Module", "register_buffer"),
    Row('net.register_parameter("gain", nn.Parameter(x))', "net.gain = nn.Parameter(x)", "Module", "register_parameter"),
    Row('net.add_module("last", layer)', "net.last = layer", "Module", "add_module register_module"),
    Row("net.cuda()", 'net.to("cupy")', "Module", "cuda"),
    Row("net.cpu()", 'net.to("numpy")', "Module", "cpu"),
    Row("next(net.parameters())", "net.parameters()[0]"),
    Row("net.double()", "net.to(dtype=np.float64)", "Module", "double"),
    Row("net.float()", "net.to(dtype=np.float32)", "Module", "float"),
    Row("optimizer.param_groups[0]['lr']", "optimizer.lr", "Optimizer", "param_groups add_param_group"),
    Row("lr_scheduler.StepLR(optimizer, 9)", "optimizer.lr = optim.step_decay(optimizer.lr, 9)", "optim", "lr_scheduler"),
    Row("torch.autograd.grad(x.sum(), x)", "mg.grad(x.sum(), [x])", "minigrad", "autograd"),
    Row("torch.save(net.state_dict(), path)", "mg.save(path, net.state_dict())"),
    Row("torch.optim.Adam(net.parameters())", "optim.Adam(net.parameters())"),
]  # fmt: skip


INITS = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal", "trunc_normal")
SCHEDULES = ("StepLR", "LambdaLR", "LinearLR", "ExponentialLR", "CosineAnnealingLR", "MultiStepLR", "OneCycleLR")
COMPARISONS = {"ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
DRAWN = "draw with NumPy, as in `mg.Tensor(np.random.default_rng(0).integers(9, size=(2, 3)))`"
INIT = "draw the values and assign them, as in `w.assign(nn.init.normal(w.shape, std=0.02))`"
GPU = 'tensors are where their arrays are, `x.to("cupy")` is on the GPU and `x.to("numpy")` on the CPU'
SENTENCES = {  # for names that stand for no one expression
    ("Tensor", "device"): GPU,
    ("Tensor", "is_cuda"): GPU,
    ("Tensor", "half"): "tensors are float32 or float64",
    ("Tensor", "grad_fn"): "write x.op, which is None for a leaf",
    ("Tensor", "is_leaf"): "write x.op is None",
    ("Tensor", "retain_grad"): "write mg.grad(loss, [x]), which takes any tensors",
    ("Tensor", "values"): "max(axis) and min(axis) return the values themselves",
    ("Tensor", "indices"): "write x.argmax(axis)",
    **{("Tensor", name): f"write x {sign} y" for name, sign in COMPARISONS.items()},
    ("Tensor", "argmin"): "write mg.Tensor(x.data.argmin(axis))",
    **{("Tensor", name): f"write np.{name}(x.data)" for name in ("isnan", "isinf", "isfinite", "argsort")},
    ("Tensor", "type"): "write x.astype(np.float32), and x.dtype for the dtype",
    ("minigrad", "F"): "write `import minigrad.functional as F`",
    ("minigrad", "inference_mode"): "write mg.no_grad()",
    ("minigrad", "enable_grad"): "write mg.set_grad_enabled(True)",
    ("minigrad", "allclose"): "write np.allclose(x.data, y.data)",
    ("minigrad", "compile"): "write mg.Captured(step), which captures a training step and replays it",
    **{("minigrad", name): DRAWN for name in ("randint", "randperm", "multinomial")},
    ("minigrad", "normal"): "write mean + std * mg.randn(shape)",
    ("minigrad", "bernoulli"): "write mg.rand(p.shape) < p",
    ("Tensor", "bmm"): "write x @ y",
    ("minigrad", "device"): GPU,
    ("minigrad", "cuda"): GPU,
    ("Module", "device"): GPU,
    ("nn", "LogSoftmax"): "write F.log_softmax(x, axis)",
    ("nn", "AdaptiveAvgPool2d"): "for a size of 1 write x.mean((2, 3), keepdims=True)",
    ("nn", "ModuleDict"): "write one attribute for each module, or nn.ModuleList",
    ("nn", "functional"): "write `F.relu`, after `import minigrad.functional as F`",
    ("nn", "utils"): "write `optim.clip_grad_norm_(net.parameters(), 1.0)` and `nn.spectral_norm(layer)`",
    **{("init", f"{name}_"): INIT for name in INITS},
    **{("optim", name): "a schedule is a function given as lr=, such as optim.cosine_decay(3e-4, steps)" for name in SCHEDULES},
}

NOT_HERE = "minigrad does not have it; leave it out"
ARGUMENTS = {  # arguments of PyTorch's that no function of minigrad has, or that this one does not have
    "dim": "write axis=",
    "keepdim": "write keepdims=",
    "unbiased": "write ddof=1 for unbiased=True, PyTorch's default, and ddof=0 for False",
    "correction": "write ddof=",
    "inplace": "leave it out, results are always new tensors",
    "strict": "names must agree; to load a part, write net.load_state_dict(net.state_dict() | part)",
    "set_to_none": "leave it out, zero_grad always sets .grad to None",
    "retain_graph": "write mg.grad(..., create_graph=True), which keeps the graph",
    "allow_unused": "leave it out, the gradient of an unused input is zero",
    "grad_outputs": "write grad_output=",
    "outputs": "write mg.grad(output, [x])",
    "num_embeddings": "write nn.Embedding(count, features)",
    "embedding_dim": "write nn.Embedding(count, features)",
    "size_average": "write reduction=",
    "min": "write low=",
    "max": "write high=",
    "device": 'write .to("cupy") after it for the GPU',
    "dtype": "write .astype(np.float64) after it, or for a module .to(dtype=np.float64)",
    **dict.fromkeys(("nesterov", "amsgrad", "dampening", "maximize", "foreach", "fused", "capturable", "centered"), NOT_HERE),
    "weight": 'write reduction="none" and weigh the losses yourself',
    "norm_type": NOT_HERE,
    "padding_mode": "write a layer such as nn.ReflectionPad2d before it",
    "p": "only Euclidean norms are here",
    **dict.fromkeys(("align_corners", "antialias", "ceil_mode", "return_indices", "count_include_pad"), NOT_HERE),
    **dict.fromkeys(("ignore_index", "label_smoothing", "pos_weight", "padding_idx", "track_running_stats"), NOT_HERE),
}


ALIKE = {"minigrad": ["minigrad", "functional", "Tensor"], "functional": ["functional", "Tensor"]}  # torch.clamp, x.clamp


def missing(owner: str, name: str, subclass: str = "") -> str:
    """The message of the AttributeError for a name that `owner`, or an object of a subclass of it, does not have."""
    start = f"minigrad's {owner} has no `{name}`" if owner != "minigrad" else f"minigrad has no `{name}`"
    for like in ALIKE.get(owner, [owner]):
        if (like, name) in SENTENCES:
            return f"{start}: {SENTENCES[like, name]}"
        for row in ROWS:
            if row.owner == like and name in row.names.split():
                row = row.written_with(name)
                return f"{start}: for PyTorch's `{row.pytorch}` write `{row.minigrad}`"
    if owner == "Tensor" and name.endswith("_") and not name.startswith("_"):
        return f"{start}: tensors are changed in place only by `x.assign(values)`; in a graph write `x = x + 1`"
    if owner == "Tensor" and name in sys.modules["minigrad.functional"].__all__:
        return f"{start}: write `F.{name}`, after `import minigrad.functional as F`"
    if owner in ("minigrad", "functional") and name[0] != "_" and name in dir(sys.modules["minigrad.tensor"].Tensor):
        return f"{start}: write `x.{name}`"
    return f"{subclass} has no `{name}`" if subclass else start


def refused(function: str, argument: str) -> str:
    """The message of the TypeError for an argument in `ARGUMENTS`."""
    return f"{function} has no argument `{argument}`: {ARGUMENTS[argument]}"


def explain_arguments(*owners: Any) -> None:
    """Let the public functions of modules and classes explain arguments that PyTorch's have, and lists instead of tensors."""
    for owner in owners:
        names = getattr(owner, "__all__", vars(owner))
        for name in [name for name in names if name == "__init__" or not name.startswith("_")]:
            if inspect.isfunction(function := vars(owner).get(name)):
                setattr(owner, name, _explaining(function, owner, name))


def _explaining(function: Callable[..., Any], owner: Any, name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TypeError:
            parameters = inspect.signature(function).parameters
            unknown = [key for key in options if key in ARGUMENTS and key not in parameters]
            by_name = [key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
            if by_name and len(args) > len(parameters) - len(by_name):
                raise TypeError(f"{_shown(name, args)} takes {', '.join(f'{key}=' for key in by_name)} by name") from None
            if len(args) > len(parameters) and args[-1] is True:  # as in PyTorch's nn.ReLU(True)
                unknown.append("inplace")
            if not unknown:
                raise
        except AttributeError as error:
            if _is_part_of(error.obj, [*args, *options.values()]):
                raise TypeError(f"{name} takes tensors: write mg.Tensor(...) around lists and arrays") from error
            raise
        raise TypeError(refused(_shown(name, args), unknown[0]))

    if inspect.ismodule(owner):
        call.__module__, call.__qualname__ = owner.__name__, name  # where pickle finds it
    return call


def _shown(name: str, args: Sequence[Any]) -> str:
    """The name of the function, or of the class whose __init__ it is."""
    return type(args[0]).__name__ if name == "__init__" else name


def _is_part_of(thing: Any, arguments: list[Any]) -> bool:
    """Whether an object that should have been a tensor is a list or an array among the arguments, or in a list of them."""
    if isinstance(thing, memoryview):  # the `data` of an ndarray
        thing = thing.obj
    elif not isinstance(thing, list | tuple):
        return False
    return any(thing is x or (isinstance(x, list | tuple) and any(thing is part for part in x)) for x in arguments)


def table() -> str:
    """The README's table."""
    rows = [f"| `{row.pytorch}` | `{row.minigrad}` |" for row in ROWS]
    return "\n".join(["| PyTorch | minigrad |", "| --- | --- |", *rows])
