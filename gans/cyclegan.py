"""CycleGAN, which translates between two kinds of pictures without ever seeing a pair: `python -m gans.cyclegan --data FOLDER`.

There are photographs of horses and of zebras, but no photograph of a horse and of the same animal as a zebra. A discriminator
D_B can say whether a picture looks like kind B, and so teach a generator G to turn pictures of kind A into such; but nothing
would keep G from making any zebra of a horse, always the same perhaps. So a second generator F learns the way back, and the
cycle must close: F(G(a)) is a again, G(F(b)) is b. What shows in the picture has to survive the journey.

    for each image a of kind A and image b of kind B:
        descend  (D_B(G(a)) - 1)^2 + (D_A(F(b)) - 1)^2                the translations look real
               + 10 (|F(G(a)) - a| + |G(F(b)) - b|)                   the cycles close
               +  5 (|G(b) - b| + |F(a) - a|)                         what is of the right kind already stays as it is
            by the weights of G and F
        descend  1/2 ((D_A(a) - 1)^2 + D_A(F(b))^2)  by D_A's weights, and
                 1/2 ((D_B(b) - 1)^2 + D_B(G(a))^2)  by D_B's

|.| is the mean over all pixels. The discriminators judge patches of 70 x 70 pixels: G need not invent the whole picture, the
cycle holds it. Half of the time they see an older translation from a pool, lest the four networks run in circles. The rate is
constant for the first half of the training, then falls to 0 linearly.

Source: Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, equation 3.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import minigrad as mg
from gans.cyclegan_config import UNETS, Config, with_defaults
from gans.data.unpaired import Crops, Unpaired, load_unpaired, middle
from gans.image_pool import ImagePool
from gans.measures.translation import scores
from gans.networks.translators import (
    NORMS,
    MeanOfPatches,
    patch_discriminator,
    resnet_generator,
    retouching_generator,
    unet_generator,
    unet_halvings,
)
from gans.training.cli import main
from gans.training.images import grid
from gans.training.trainer import Metrics, Trainer, as_pixels, below, in_evaluation
from gans.wgan_gp import gradient_penalty
from minigrad import nn, optim
from minigrad.arrays import hooks
from minigrad.arrays.layout import channels_last
from minigrad.functional import binary_cross_entropy_with_logits, concatenate, l1_loss

LOSSES: dict[str, Callable[[mg.Tensor, bool], mg.Tensor]] = {  # of a judgement that should be "real", or "generated"
    "lsgan": lambda judgement, real: ((judgement - float(real)) ** 2).mean(),
    "bce": lambda judgement, real: binary_cross_entropy_with_logits(judgement, float(real)),
    "wgan-gp": lambda judgement, real: -judgement.mean() if real else judgement.mean(),
}
PENALTY_WEIGHT = 10.0  # of wgan-gp
SHOWN = 8  # held-out pictures of each kind in a sheet
AT_ONCE = 8  # pictures that are translated at once


class CycleGAN(Trainer):
    """The four networks, and the step that trains them."""

    name = "cyclegan"
    config_class = Config
    samples_are = "held-out pictures, in rows: a, G(a), F(G(a)), b, F(b), G(F(b))"
    captions = {
        "d_loss_a": "loss of D_A; with least squares, (D_A(a) - 1)^2 / 2 + D_A(F(b))^2 / 2: 0.25 when it can only guess",
        "d_loss_b": "loss of D_B, likewise for b and G(a)",
        "g_loss_ab": "adversarial loss of G; with least squares, (D_B(G(a)) - 1)^2: 0.25 when D_B can only guess",
        "g_loss_ba": "adversarial loss of F, likewise for D_A and F(b)",
        "cycle_a": "|F(G(a)) - a|: how far a comes back from where it was; 2 would be black for white",
        "cycle_b": "|G(F(b)) - b|, likewise",
        "identity_a": "|F(a) - a|: what F changes in pictures that are of kind A already",
        "identity_b": "|G(b) - b|, likewise",
    }

    def __init__(self, config: Any, dtype: Any = np.float32) -> None:
        config = with_defaults(config)
        super().__init__(config, dtype)
        self.image_shape = (3, config.image_size, config.image_size)
        self.batch_shapes = ((config.batch_size, *self.image_shape),) * 2
        self.loss = LOSSES[config.gan_loss]
        self.a_to_b, self.b_to_a = (make_generator(config).to(config.backend, dtype) for _ in "GF")
        self.d_a, self.d_b = (make_discriminator(config).to(config.backend, dtype) for _ in "AB")
        self.g_optimizer = optim.Adam([*self.a_to_b.parameters(), *self.b_to_a.parameters()], config.lr, betas=(0.5, 0.999))
        self.d_optimizer = optim.Adam([*self.d_a.parameters(), *self.d_b.parameters()], config.lr, betas=(0.5, 0.999))
        self.pool_a, self.pool_b = (
            ImagePool(config.pool, self.image_shape, (config.seed, 2 + kind), config.backend, dtype) for kind in range(2)
        )  # crops have the seeds with 0 and 1
        self.steps_per_epoch = 0  # as long as there is no data

    def step(self, a: mg.Tensor, b: mg.Tensor) -> Metrics:
        hooks.on_host(self.set_rate)
        fake_a, fake_b, metrics = self.train_generators(a, b)
        metrics |= self.train_discriminators(a, b, self.pool_a.exchange(fake_a), self.pool_b.exchange(fake_b))
        return {name: metrics[name] for name in self.captions if name in metrics}

    def train_generators(self, a: mg.Tensor, b: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor, Metrics]:
        """F(b), G(a) and the losses."""
        G, F, weight = self.a_to_b, self.b_to_a, self.config.identity
        fake_b, same_b = self.each(G, a, b) if weight else (G(a), b)
        fake_a, same_a = self.each(F, b, a) if weight else (F(b), a)
        cycle = {"cycle_a": l1_loss(F(fake_b), a), "cycle_b": l1_loss(G(fake_a), b)}
        identity = {"identity_a": l1_loss(same_a, a), "identity_b": l1_loss(same_b, b)} if weight else {}
        adversarial = {"g_loss_ab": self.loss(self.d_b(fake_b), True), "g_loss_ba": self.loss(self.d_a(fake_a), True)}
        loss = total(adversarial) + self.config.cycle * (total(cycle) + (weight * total(identity) if weight else 0.0))
        self.g_optimizer.step(mg.grad(loss, self.g_optimizer.params))  # through D_A and D_B, but only to the weights of G and F
        return fake_a.detach(), fake_b.detach(), adversarial | cycle | identity

    def train_discriminators(self, a: mg.Tensor, b: mg.Tensor, fake_a: mg.Tensor, fake_b: mg.Tensor) -> Metrics:
        """The losses."""
        metrics = {"d_loss_a": self.judge(self.d_a, a, fake_a), "d_loss_b": self.judge(self.d_b, b, fake_b)}
        self.d_optimizer.step(mg.grad(total(metrics), self.d_optimizer.params))
        return metrics

    def judge(self, D: nn.Module, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        """The loss of a discriminator."""
        on_real, on_fake = self.each(D, real, fake)
        if self.config.gan_loss != "wgan-gp":
            return 0.5 * (self.loss(on_real, True) + self.loss(on_fake, False))
        alpha = self.uniform((len(real), 1, 1, 1))
        penalty = gradient_penalty(D, alpha * real + (1 - alpha) * fake)
        return self.loss(on_real, True) + self.loss(on_fake, False) + PENALTY_WEIGHT * penalty

    def each(self, network: nn.Module, *images: mg.Tensor) -> list[mg.Tensor]:
        """What a network makes of several batches: in one pass, unless batch normalisation would mix them."""
        if self.config.norm == "batch":
            return [network(x) for x in images]
        n, outputs = len(images[0]), network(concatenate(images))
        return [outputs[i : i + n] for i in range(0, len(outputs), n)]

    def set_rate(self) -> None:
        """Let the rate of this step be the optimizers'."""
        self.g_optimizer.lr = self.d_optimizer.lr = self.rate()

    def rate(self) -> float:
        """The learning rate of this step: constant, then falling to 0 in equal steps."""
        config = self.config
        left = config.epochs * self.steps_per_epoch - self.g_optimizer.steps
        decay = (config.epochs // 2 if config.decay_epochs is None else config.decay_epochs) * self.steps_per_epoch
        return self.config.lr * min(1.0, max(left, 0) / decay) if decay else self.config.lr

    def load_batches(self) -> Unpaired:
        config, kinds = self.config, load_unpaired(self.config.data, self.config.load_size)
        self.kinds = kinds
        self.test_a, self.test_b = (middle(images, config.image_size) for images in (kinds.test_a, kinds.test_b))
        held_out = (kinds.test_a, kinds.test_b)
        batches = Unpaired(self.crops(kinds.train_a, 0), self.crops(kinds.train_b, 1), held_out, kinds.source)
        self.steps_per_epoch = batches.per_epoch
        return batches

    def crops(self, images: np.ndarray, kind: int) -> Crops:
        """Batches of one kind, 0 for A and 1 for B."""
        config = self.config
        order = (config.batch_size, (config.seed, kind), self.backend, self.dtype)
        return Crops(images, config.image_size, not config.no_mirror, *order)

    @property
    def granularity(self) -> int:
        """Height and width of what the generators take are multiples of this."""
        return 2 ** unet_halvings(self.config.image_size) if self.config.generator in UNETS else 8

    def translate(self, images: np.ndarray, direction: str) -> np.ndarray:
        """Pictures uint8 (n, 3, height, width), sizes that the network can take, as the other kind; direction AtoB or BtoA."""
        network = self.a_to_b if direction == "AtoB" else self.b_to_a
        parts = []
        for i in range(0, len(images), AT_ONCE):
            x = channels_last(images[i : i + AT_ONCE].astype(self.dtype) / self.dtype(127.5) - self.dtype(1))
            parts.append(as_pixels(in_evaluation(network, mg.Tensor(x).to(self.backend))))
        return np.concatenate(parts)

    def sample_sheet(self) -> np.ndarray:
        shown = min(SHOWN, len(self.test_a), len(self.test_b))
        columns = []
        for images, there, back in ((self.test_a, "AtoB", "BtoA"), (self.test_b, "BtoA", "AtoB")):
            some = images[np.linspace(0, len(images) - 1, shown).astype(int)]
            translated = self.translate(some, there)
            columns += [some, translated, self.translate(translated, back)]
        return grid(np.stack(columns, axis=1).reshape(-1, *self.image_shape), across=len(columns))

    def weights(self) -> dict[str, Any]:
        parts = {"a_to_b": self.a_to_b, "b_to_a": self.b_to_a}
        return {f"{name}.{key}": a for name, network in parts.items() for key, a in network.state_dict().items()}

    def load_weights(self, saved: Mapping[str, Any]) -> None:
        self.a_to_b.load_state_dict(below(saved, "a_to_b"))
        self.b_to_a.load_state_dict(below(saved, "b_to_a"))

    def report(self) -> str:
        if self.config.data is not None:  # where nothing tells what a translation should look like
            return ""
        return scores(self.translate, self.kinds, self.test_a, self.test_b)


def make_generator(config: Any) -> nn.Module:
    """By the settings `generator`, `width`, `norm` and `upsample`."""
    if config.generator in UNETS:
        make_unet = unet_generator if config.generator == "unet" else retouching_generator
        return make_unet(unet_halvings(config.image_size), config.width, NORMS[config.norm], config.upsample)
    blocks = {"resnet6": 6, "resnet9": 9}[config.generator]
    return resnet_generator(blocks, config.width, NORMS[config.norm], config.upsample)


def make_discriminator(config: Any) -> nn.Module:
    """A map of logits; as a critic, their mean for each picture."""
    patches = patch_discriminator(config.width, NORMS[config.norm])
    return nn.Sequential(*patches, MeanOfPatches()) if config.gan_loss == "wgan-gp" else patches


def total(losses: Metrics) -> mg.Tensor:
    """Their sum."""
    return functools.reduce(operator.add, losses.values())


if __name__ == "__main__":
    main(CycleGAN)
