"""Spectral normalisation: a layer whose weight is divided by its largest singular value."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import minigrad.functional as F
from minigrad import random
from minigrad.arrays import backend
from minigrad.modes import no_grad
from minigrad.nn.conv import ConvTranspose2d
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.tensor import Tensor

__all__ = ["spectral_norm"]


class _SpectrallyNormal(Module):
    """Mixed into a module's class by `spectral_norm`: `weight` becomes a property computed from `weight_orig`."""

    weight_orig: Parameter
    weight_u: Buffer
    weight_v: Buffer

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the class was made by `spectral_norm` and has no name under which it could be imported."""
        return _blank, (type(self).__mro__[2],), vars(self)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with no_grad():
                self._iterate()
        return super().forward(x)

    def _iterate(self) -> None:
        """One step of the power iteration; u and v converge to the singular vectors of the largest singular value."""
        matrix = _as_matrix(self.weight_orig, self)
        self.weight_v.assign(_unit(F.matmul(matrix.T, self.weight_u)))
        self.weight_u.assign(_unit(F.matmul(matrix, self.weight_v)))

    @property
    def weight(self) -> Tensor:
        """weight_orig / sigma, with sigma = u^T W v. Copies of u and v, because the next iteration changes them in place."""
        u, v = (Tensor(vector.data.copy()) for vector in (self.weight_u, self.weight_v))
        return self.weight_orig / F.matmul(u, F.matmul(_as_matrix(self.weight_orig, self), v))


SomeModule = TypeVar("SomeModule", bound=Module)


def spectral_norm(module: SomeModule) -> SomeModule:
    """Make a module use weight / sigma, where sigma is the largest singular value of its weight. Returns the module.

    A dense layer then has a Lipschitz constant of about 1. That of a convolution may be larger, at most by the square root of
    the number of windows that contain a pixel, because sigma is that of the kernel as a matrix. sigma is estimated by the
    power iteration, one step at each forward in training. The gradient flows through sigma, with the iteration's vectors held
    constant (equation 12 of the paper). The parameter and the vectors are named weight_orig, weight_u and weight_v, as by
    torch.nn.utils.spectral_norm.

    Parameters
    ----------
    module : with a parameter `weight`: Linear, Conv2d, ConvTranspose2d, Embedding, ...; the weight is treated as a matrix
        with one row for each output. Changed in place.

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


def _blank(kind: type[Module]) -> Module:
    """A spectrally normalised module of this class without attributes."""
    made = _with_spectral_norm(kind)  # type: ignore[arg-type]
    return made.__new__(made)


def _as_matrix(weight: Tensor, module: Module) -> Tensor:
    """The weight as (outputs, all else); a ConvTranspose2d has its outputs on the second axis."""
    if isinstance(module, ConvTranspose2d):
        weight = F.transpose(weight, 1, 0, 2, 3)
    return F.reshape(weight, (weight.shape[0], -1))


def _unit(vector: Tensor) -> Tensor:
    """The vector scaled to length 1; zeros stay zeros."""
    return vector / F.maximum(F.sqrt(F.sum(vector * vector)), 1e-12)
