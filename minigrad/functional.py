"""Every operation as a function, under its usual name: `import minigrad.functional as F`.

Names and arguments mean what they mean in `torch.nn.functional`; `axis` and `keepdims` what they mean in NumPy.
"""

from minigrad.ops.conv import conv2d, conv_transpose2d
from minigrad.ops.dropout import dropout, dropout2d
from minigrad.ops.elementwise import (
    abs,
    add,
    clip,
    div,
    exp,
    leaky_relu,
    log,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    relu,
    sigmoid,
    softplus,
    sqrt,
    sub,
    tanh,
    where,
)
from minigrad.ops.linear import embedding, linear, matmul
from minigrad.ops.loss import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss
from minigrad.ops.norm import batch_norm, instance_norm, layer_norm
from minigrad.ops.pad import pad
from minigrad.ops.pool import avg_pool2d, max_pool2d
from minigrad.ops.reduce import broadcast_to, max, mean, min, norm, sum, var
from minigrad.ops.resize import interpolate
from minigrad.ops.shape import astype, concatenate, flatten, flip, index, reshape, stack, transpose
from minigrad.ops.softmax import log_softmax, logsumexp, softmax

__all__ = [
    "abs", "add", "astype", "avg_pool2d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "broadcast_to", "clip", "concatenate", "conv2d", "conv_transpose2d", "cross_entropy", "div", "dropout", "dropout2d",
    "embedding", "exp", "flatten", "flip", "index", "instance_norm", "interpolate", "l1_loss", "layer_norm", "leaky_relu",
    "linear", "log", "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "min", "minimum", "mse_loss",
    "mul", "neg", "norm", "pad", "pow", "relu", "reshape", "sigmoid", "softmax", "softplus", "sqrt", "stack", "sub", "sum",
    "tanh", "transpose", "var", "where",
]  # fmt: skip
