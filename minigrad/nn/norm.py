"""Normalisation layers, layers that drop whole channels, and spectral normalisation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

import minigrad.functional as F
from minigrad import backend, random
from minigrad.engine import no_grad
from minigrad.kernels.geometry import real, whole
from minigrad.nn.conv import ConvTranspose2d
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.tensor import Shape, Tensor


class _Norm(Module):
    """What the layers share: a weight of ones and a bias of zeros, unless affine is False."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, name: str, shape: Shape, eps: float, affine: bool) -> None:
        shape = tuple(whole(n, f"{type(self).__name__}: {name}") for n in shape)
        self.shape, self.eps = shape, real(eps, f"{type(self).__name__}: eps")
        self.weight = Parameter(np.ones(shape, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(shape, np.float32)) if affine else None

    def describe(self) -> str:
        return ", ".join(map(str, self.shape)) + ("" if self.weight is not None else ", affine=False")


class _BatchNorm(_Norm):
    ndim: int

    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__("num_features", (num_features,), eps, affine)
        self.momentum = real(momentum, f"{type(self).__name__}: momentum")
        self.running_mean = Buffer(np.zeros(num_features, np.float32))
        self.running_var = Buffer(np.ones(num_features, np.float32))
        self.num_batches_tracked = Buffer(np.zeros((), np.int64))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.ndim:
            raise ValueError(f"{type(self).__name__}({self.describe()}): x {x.shape} must have {self.ndim} axes")
        statistics = self.running_mean, self.running_var
        y = F.batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, eps=self.eps)
        if self.training:
            self.num_batches_tracked.assign(self.num_batches_tracked.data + 1)
        return y


class BatchNorm1d(_BatchNorm):
    """Each feature of x (n, num_features) normalised over the batch, then scaled and shifted by the learned weight and bias.

    While training by the batch's own mean and variance, which the running ones follow by `momentum`; in evaluation by these.
    """

    ndim = 2


class BatchNorm2d(_BatchNorm):
    """As BatchNorm1d for images (n, num_features, height, width): each channel over the batch and all pixels."""

    ndim = 4


class InstanceNorm2d(_Norm):
    """Each channel of each image of x (n, num_features, height, width) normalised over its pixels, training or not."""

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__("num_features", (num_features,), eps, affine)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4 and x.shape[1:2] != self.shape:
            raise ValueError(f"InstanceNorm2d({self.describe()}): x {x.shape} has {x.shape[1]} channels, not {self.shape[0]}")
        return F.instance_norm(x, self.weight, self.bias, eps=self.eps)


class LayerNorm(_Norm):
    """Each sample of x (..., *normalized_shape) normalised over its last axes; weight and bias have their shape."""

    def __init__(self, normalized_shape: int | Shape, *, eps: float = 1e-5, elementwise_affine: bool = True) -> None:
        shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        if not shape:
            raise ValueError("LayerNorm: normalized_shape is (); it must have one axis or more")
        super().__init__("normalized_shape", shape, eps, elementwise_affine)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shape, self.weight, self.bias, eps=self.eps)


class Dropout2d(Module):
    """Each channel of each image is 0 as a whole with probability p while training, the others grow by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training)

    def describe(self) -> str:
        return f"p={self.p}"


class _SpectrallyNormal(Module):
    """What `spectral_norm` puts before a module's own class: `weight` is made from `weight_orig` whenever it is read."""

    weight_orig: Parameter
    weight_u: Buffer
    weight_v: Buffer

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with no_grad():
                self._iterate()
        return super().forward(x)

    def _iterate(self) -> None:
        """One step of the power iteration, by which u and v become the singular vectors of the largest singular value."""
        matrix = _as_matrix(self.weight_orig, self)
        self.weight_v.assign(_unit(F.matmul(matrix.T, self.weight_u)))
        self.weight_u.assign(_unit(F.matmul(matrix, self.weight_v)))

    @property
    def weight(self) -> Tensor:
        """weight_orig / sigma with sigma = u^T W v. The next iteration changes u and v in place, so the graph gets copies."""
        u, v = (Tensor(vector.data.copy()) for vector in (self.weight_u, self.weight_v))
        return self.weight_orig / F.matmul(u, F.matmul(_as_matrix(self.weight_orig, self), v))


SomeModule = TypeVar("SomeModule", bound=Module)


def spectral_norm(module: SomeModule) -> SomeModule:
    """The module, changed in place: it works with weight / sigma, sigma being the largest singular value of its weight.

    It can then stretch no input by more than 1, roughly: sigma is estimated by the power iteration, one step with each forward
    in training. The gradient passes through sigma, with the iteration's vectors held constant (equation 12 of the paper).
    The parameter and the vectors are named weight_orig, weight_u and weight_v, as by torch.nn.utils.spectral_norm.

    Parameters
    ----------
    module : with a parameter `weight`: Linear, Conv2d, ConvTranspose2d, Embedding, ...; the weight counts as a matrix
        with one row for each output

    Source: Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for GANs", ICLR 2018.
    """
    weight = vars(module).get("weight")
    if not isinstance(weight, Parameter) or weight.ndim < 2:
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter `weight` of two axes or more")
    rows, columns = _as_matrix(weight, module).shape
    u, v = (random.randn((n,), backend=backend.name_of(weight.data), dtype=weight.dtype) for n in (rows, columns))
    del vars(module)["weight"]
    vars(module).update(weight_orig=weight, weight_u=Buffer(_unit(u)), weight_v=Buffer(_unit(v)))
    module.__class__ = _with_spectral_norm(type(module))  # type: ignore[assignment, arg-type]
    return module


@functools.cache
def _with_spectral_norm(kind: type[Module]) -> type[Module]:
    return type(f"SpectralNorm{kind.__name__}", (_SpectrallyNormal, kind), {})


def _as_matrix(weight: Tensor, module: Module) -> Tensor:
    """(outputs, all else); the weight of a ConvTranspose2d has the outputs on its second axis."""
    if isinstance(module, ConvTranspose2d):
        weight = F.transpose(weight, 1, 0, 2, 3)
    return F.reshape(weight, (weight.shape[0], -1))


def _unit(vector: Tensor) -> Tensor:
    """The vector made of length 1; zeros stay zeros."""
    return vector / F.maximum(F.sqrt(F.sum(vector * vector)), 1e-12)
