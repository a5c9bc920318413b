"""The losses of `gans.toy`: what D and G descend, as functions of D's scores.

A score s is what D's last layer returns, without bounds: the larger, the more real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import minigrad as mg
import minigrad.functional as F

Term = Callable[[mg.Tensor], mg.Tensor]


@dataclass(frozen=True)
class Loss:
    """One adversarial loss. D descends  mean real(s) + mean fake(s),  G descends  mean g(s).

    Parameters
    ----------
    real, fake : a term of D's loss for each score of a real or of a generated point
    g : a term of G's loss for each score of a generated point
    penalty : on D's slope: "wgan-gp" at points between, "r1r2" at real and at generated points; "clip" clips D's weights
    weight : of the penalty
    d_steps : steps of D for each step of G
    """

    real: Term
    fake: Term
    g: Term
    penalty: str = ""
    weight: float = 0.0
    d_steps: int = 1

    def d_loss(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        """From the scores of real and of generated points, (n, 1) each."""
        return self.real(real).mean() + self.fake(fake).mean()

    def g_loss(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        return self.g(fake).mean()


class Softmax(Loss):
    """A softmax over the whole batch: D wants it to be even on the real points and 0 elsewhere, G even on all.

    Source: Lin, "Softmax GAN", 2017.
    """

    def d_loss(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        return self.g_loss(real, fake) + F.concatenate([real, fake]).mean() - real.mean()

    def g_loss(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        both = F.concatenate([real, fake])
        return F.logsumexp(both, axis=(0, 1)) - both.mean()


class Relativistic(Loss):
    """D wants a real point to score higher than a generated one, whatever the level; G the contrary.

    Source: Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024.
    """

    def d_loss(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        return self.real(real - fake).mean()

    def g_loss(self, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        return self.g(fake - real).mean()


def identity(s: mg.Tensor) -> mg.Tensor:
    return s


def negative(s: mg.Tensor) -> mg.Tensor:
    return -s


def minus_log_d(s: mg.Tensor) -> mg.Tensor:
    """-log D  for  D = sigmoid(s)."""
    return F.softplus(-s)


def f_gan(output: Term, conjugate: Term) -> Loss:
    """f-GAN: D ascends  mean T(x) - mean f*(T(G(z)))  with T = output(s); `conjugate` is f*(output(s)).

    As in the paper's section 3.2, G ascends mean T(G(z)): the same fixed point, with a gradient that does not vanish.
    Source: Nowozin, Cseke and Tomioka, "f-GAN", NeurIPS 2016, tables 1 and 2.
    """
    return Loss(lambda s: -output(s), conjugate, lambda s: -output(s))


LOSSES: dict[str, Loss] = {
    "gan": Loss(minus_log_d, F.softplus, minus_log_d),
    "saturating": Loss(minus_log_d, F.softplus, lambda s: -F.softplus(s)),  # G descends log(1 - D)
    "lsgan": Loss(lambda s: (s - 1) ** 2, lambda s: s**2, lambda s: (s - 1) ** 2),
    "wgan": Loss(negative, identity, negative, penalty="clip", weight=0.1, d_steps=5),
    "wgan-gp": Loss(negative, identity, negative, penalty="wgan-gp", weight=1.0, d_steps=5),
    "hinge": Loss(lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), negative),
    "softmax": Softmax(negative, identity, negative),
    "r3gan": Relativistic(minus_log_d, identity, minus_log_d, penalty="r1r2", weight=0.01),
    "kl": f_gan(identity, lambda s: F.exp(s - 1)),
    "reverse-kl": f_gan(lambda s: -F.exp(-s), lambda s: s - 1),
    "pearson": f_gan(identity, lambda s: s * s / 4 + s),
}
