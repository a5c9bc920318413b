"""What PyTorch calls differently: one table, from which the error messages and the README's "Coming from PyTorch" are made.

A row with an `owner` is a name that minigrad does not have: using it is an AttributeError that says what to write instead.
Other rows are only for the README. The tests run both sides of every row and compare them.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    pytorch: str
    minigrad: str
    owner: str = ""  # "Tensor", "Module", "Optimizer", "functional", "nn", "optim", "minigrad", or "" for a row of the README
    names: str = ""  # the names that the owner does not have, separated by spaces


ROWS = [
    Row("torch.tensor([1.0, 2.0])", "mg.Tensor([1.0, 2.0])", "minigrad", "as_tensor from_numpy FloatTensor"),
    Row("torch.zeros(2, 3)", "mg.Tensor(np.zeros((2, 3), np.float32))", "minigrad", "zeros ones full empty arange eye"),
    Row("torch.zeros_like(x)", "mg.Tensor(np.zeros_like(x.data))", "minigrad", "zeros_like ones_like randn_like rand_like"),
    Row("x.sum(dim=1, keepdim=True)", "x.sum(axis=1, keepdims=True)"),
    Row("x.max(1).values", "x.max(1)"),
    Row("x.max(1).indices", "x.argmax(1)"),
    Row("x.amax(1)", "x.max(1)", "Tensor", "amax"),
    Row("x.amin(1)", "x.min(1)", "Tensor", "amin"),
    Row("x.var(1)", "x.var(1, ddof=1)"),
    Row("x.transpose(0, 1)", "x.swapaxes(0, 1)"),
    Row("x.permute(1, 0)", "x.transpose(1, 0)"),
    Row("x.t()", "x.T", "Tensor", "t mT"),
    Row("x.expand(4, 3, 2)", "F.broadcast_to(x, (4, 3, 2))", "Tensor", "expand expand_as broadcast_to"),
    Row("x.repeat(2, 1)", "F.cat([x, x])", "Tensor", "repeat tile repeat_interleave"),
    Row("x.chunk(3, 1)", "F.split(x, 1, 1)", "Tensor", "chunk unbind"),
    Row("x.size(1)", "x.shape[1]"),
    Row("x.float()", "x.astype(np.float32)", "Tensor", "float type"),
    Row("x.double()", "x.astype(np.float64)", "Tensor", "double"),
    Row("x.long()", "x.astype(np.int64)", "Tensor", "long int"),
    Row("x.tolist()", "x.numpy().tolist()", "Tensor", "tolist"),
    Row("x.cpu()", 'x.to("numpy")', "Tensor", "cpu"),
    Row("x.square()", "x**2", "Tensor", "square"),
    Row("x.flip(0)", "F.flip(x, 0)", "Tensor", "flip"),
    Row("x.norm()", "F.norm(x)", "Tensor", "norm"),
    Row("x.masked_fill(x > 0, 5.0)", "F.where(x > 0, 5.0, x)", "Tensor", "masked_fill"),
    Row("x.clone().add_(1)", "x + 1"),
    Row("torch.cat([x, x], dim=1)", "F.cat([x, x], axis=1)"),
    Row("torch.exp(x)", "F.exp(x)"),
    Row("torch.clamp(x, min=0)", "F.clip(x, low=0)", "functional", "clamp"),
    Row("torch.einsum('ij,kj->ik', x, x)", "x @ x.T", "functional", "einsum"),
    Row("F.normalize(x, dim=1)", "x / F.norm(x, 1, keepdims=True)", "functional", "normalize"),
    Row("F.softmax(x, dim=1)", "F.softmax(x, axis=1)"),
    Row("nn.MSELoss()(x, y)", "F.mse_loss(x, y)", "nn", "MSELoss"),
    Row("nn.L1Loss()(x, y)", "F.l1_loss(x, y)", "nn", "L1Loss"),
    Row("nn.BCELoss()(p, y)", "F.binary_cross_entropy(p, y)", "nn", "BCELoss"),
    Row("nn.BCEWithLogitsLoss()(x, y)", "F.binary_cross_entropy_with_logits(x, y)", "nn", "BCEWithLogitsLoss"),
    Row("nn.CrossEntropyLoss()(x, labels)", "F.cross_entropy(x, labels)", "nn", "CrossEntropyLoss NLLLoss"),
    Row("nn.Unflatten(1, (2, 1))(x)", "nn.Reshape(2, 1)(x)", "nn", "Unflatten"),
    Row("nn.utils.clip_grad_norm_(net.parameters(), 1.0)", "optim.clip_grad_norm_(net.parameters(), 1.0)", "nn", "utils"),
    Row('net.register_buffer("mean", x)', "net.mean = nn.Buffer(x)", "Module", "register_buffer"),
    Row('net.register_parameter("gain", nn.Parameter(x))', "net.gain = nn.Parameter(x)", "Module", "register_parameter"),
    Row('net.add_module("last", layer)', "net.last = layer", "Module", "add_module register_module"),
    Row("net.cuda()", 'net.to("cupy")', "Module", "cuda"),
    Row("net.cpu()", 'net.to("numpy")', "Module", "cpu"),
    Row("net.double()", "net.to(dtype=np.float64)", "Module", "double"),
    Row("net.float()", "net.to(dtype=np.float32)", "Module", "float"),
    Row("optimizer.param_groups[0]['lr']", "optimizer.lr", "Optimizer", "param_groups add_param_group"),
    Row("lr_scheduler.StepLR(optimizer, 9)", "optimizer.lr = optim.step_decay(optimizer.lr, 9)", "optim", "lr_scheduler"),
    Row("torch.autograd.grad(x.sum(), x)", "mg.grad(x.sum(), [x])", "minigrad", "autograd"),
    Row("torch.save(net.state_dict(), path)", "mg.save(path, net.state_dict())"),
    Row("torch.optim.Adam(net.parameters())", "optim.Adam(net.parameters())"),
]  # fmt: skip


def missing(owner: str, name: str) -> str:
    """The message of the AttributeError for a name that `owner` does not have."""
    start = f"minigrad's {owner} has no `{name}`" if owner != "minigrad" else f"minigrad has no `{name}`"
    for row in ROWS:
        if row.owner == owner and name in row.names.split():
            return f"{start}: for PyTorch's `{row.pytorch}` write `{row.minigrad}`"
    if owner == "Tensor" and name.endswith("_") and not name.startswith("_"):
        return f"{start}: tensors are changed in place only by `x.assign(values)`; in a graph write `x = x + 1`"
    return start


def table() -> str:
    """The README's table."""
    rows = [f"| `{row.pytorch}` | `{row.minigrad}` |" for row in ROWS]
    return "\n".join(["| PyTorch | minigrad |", "| --- | --- |", *rows])
