"""CycleGAN: two generators that translate between two domains of images, learned without pairs.

There are photographs of horses and photographs of zebras, but no photograph shows a horse and the
same animal as a zebra. A discriminator D_B that recognises images of domain B can teach a generator G
to turn images of domain A into images that look like domain B. But G could ignore its input, and turn
every horse into the same zebra. So a second generator F learns the opposite direction, and both
cycles must lead back to the start: F(G(a)) = a and G(F(b)) = b. Then G must keep what F needs to
reconstruct a.

    for each image a of domain A and image b of domain B:
        descend  (D_B(G(a)) - 1)^2 + (D_A(F(b)) - 1)^2         translations look real
               + 10 (|F(G(a)) - a| + |G(F(b)) - b|)            cycles lead back
               +  5 (|G(b) - b| + |F(a) - a|)                  an image of the target domain is left unchanged
            with respect to the weights of G and F
        descend  1/2 (D_A(a) - 1)^2 + 1/2 D_A(F(b))^2  with respect to D_A's weights
        descend  1/2 (D_B(b) - 1)^2 + 1/2 D_B(G(a))^2  with respect to D_B's weights

All terms are means; |.| is the mean absolute difference of all pixels. Details that matter:

- Each output of a discriminator sees a patch of 70 x 70 pixels. It judges texture and colours. The
  cycles preserve the layout.
- Half of the time the discriminators get an earlier translation from a pool, so that they do not
  forget past errors of the generators. This damps oscillations.
- The learning rate is constant for the first half of training, then falls linearly to 0.
- With `--gan-loss wgan` or `wgan-gp`, D_A and D_B are critics, as in `gans.wgan` or `gans.wgan_gp`, but take only one
  step for each of the generators', keep the pool and this learning rate, and G and F keep Adam with momentum.

Source: Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial
networks", ICCV 2017, equation 3.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

import minigrad as mg
from gans.cyclegan.config import UNETS, Config, with_defaults
from gans.cyclegan.headings import with_headings
from gans.cyclegan.image_pool import ImagePool
from gans.data.unpaired import load_unpaired
from gans.data.unpaired_batches import RandomCrops, UnpairedBatches, center_crop
from gans.losses import bce, least_squares, wasserstein
from gans.networks.translators import (
    NORMS,
    MeanOfPatches,
    patch_discriminator,
    resnet_generator,
    retouching_generator,
    unet_generator,
    unet_halvings,
)
from gans.training.images import grid
from gans.training.trainer import Metrics, Shape, Trainer, as_pixels, from_pixels, in_evaluation
from gans.wgan import clip_weights
from gans.wgan_gp import gradient_penalty
from minigrad import nn, optim
from minigrad.arrays import hooks
from minigrad.arrays.layout import channels_last
from minigrad.functional import concatenate, l1_loss

LOSSES = {"lsgan": least_squares, "bce": bce, "wgan": wasserstein, "wgan-gp": wasserstein}
CRITICS = ("wgan", "wgan-gp")
PENALTY_WEIGHT = 10.0  # for wgan-gp
CLIP = 0.01  # for wgan: the weights of D_A and D_B stay between -CLIP and CLIP
SHOWN = 8  # rows in a sample grid
COLUMNS = ("a", "G(a)", "F(G(a))", "b", "F(b)", "G(F(b))")
AT_ONCE = 8  # images per forward pass when translating


class CycleGAN(Trainer):
    """The four networks, their two optimizers, and the training step."""

    name = "cyclegan"
    config_class = Config
    config: Config
    kept = "a_to_b", "b_to_a"
    samples_are = f"held-out images, in rows: {', '.join(COLUMNS)}"
    captions = {
        "d_loss_a": "loss of D_A; with least squares, (D_A(a) - 1)^2 / 2 + D_A(F(b))^2 / 2: 0.25 if it only guesses",
        "d_loss_b": "loss of D_B, the same for b and G(a)",
        "g_loss_ab": "adversarial loss of G; with least squares, (D_B(G(a)) - 1)^2: 0.25 if D_B only guesses",
        "g_loss_ba": "adversarial loss of F, the same for D_A and F(b)",
        "cycle_a": "|F(G(a)) - a|: how far a is from its reconstruction; black and white are 2 apart",
        "cycle_b": "|G(F(b)) - b|: how far b is from its reconstruction",
        "identity_a": "|F(a) - a|: how much F changes images that are of domain A already",
        "identity_b": "|G(b) - b|: how much G changes images that are of domain B already",
    }

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        config = with_defaults(config)
        super().__init__(config, dtype)
        self.image_shape: Shape = (3, config.image_size, config.image_size)
        self.loss = LOSSES[config.gan_loss]
        self.a_to_b, self.b_to_a = (self.make_generator().to(self.backend, dtype) for _ in "GF")
        self.d_a, self.d_b = (self.make_discriminator().to(self.backend, dtype) for _ in "AB")
        self.g_optimizer = optim.Adam([*self.a_to_b.parameters(), *self.b_to_a.parameters()], config.lr, betas=(0.5, 0.999))
        self.d_optimizer = self.make_d_optimizer([*self.d_a.parameters(), *self.d_b.parameters()])
        self.pool_a, self.pool_b = (
            ImagePool(config.pool, self.image_shape, (config.seed, 2 + domain), self.backend, dtype) for domain in range(2)
        )  # crops use the seeds with 0 and 1
        self.steps_per_epoch = 0  # unknown until the data are loaded

    def make_generator(self) -> nn.Module:
        """Images of one domain to images of the other, (n, 3, height, width) in (-1, 1)."""
        config = self.config
        settings = config.width, NORMS[config.norm], config.upsample, config.colour_waves
        if config.generator == "retouch":
            return retouching_generator(unet_halvings(config.image_size), *settings, config.palette)
        if config.generator == "unet":
            return unet_generator(unet_halvings(config.image_size), *settings)
        return resnet_generator({"resnet6": 6, "resnet9": 9}[config.generator], *settings)

    def make_discriminator(self) -> nn.Module:
        """Images to a map of logits, one per patch; as a critic, to their mean per image, (n, 1)."""
        patches = patch_discriminator(self.config.width, NORMS[self.config.norm], self.config.colour_waves)
        return nn.Sequential(*patches, MeanOfPatches()) if self.config.gan_loss in CRITICS else patches

    def make_d_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """The optimizer of D_A and D_B: Adam, but RMSprop for critics with clipped weights, as in `gans.wgan`."""
        if self.config.gan_loss == "wgan":
            return optim.RMSprop(parameters, self.config.lr)
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.999))

    @property
    def batch_shapes(self) -> tuple[Shape, ...]:
        return ((self.config.batch_size, *self.image_shape),) * 2

    def step(self, a: mg.Tensor, b: mg.Tensor) -> Metrics:
        hooks.on_host(self.set_rate)
        fake_a, fake_b, metrics = self.train_generators(a, b)
        metrics |= self.train_discriminators(a, b, self.pool_a.exchange(fake_a), self.pool_b.exchange(fake_b))
        return {name: metrics[name] for name in self.captions if name in metrics}

    def train_generators(self, a: mg.Tensor, b: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor, Metrics]:
        """One step of G and F. Returns F(b), G(a) and the losses."""
        G, F, weight = self.a_to_b, self.b_to_a, self.config.identity
        fake_b, same_b = self.each(G, a, b) if weight else (G(a), b)
        fake_a, same_a = self.each(F, b, a) if weight else (F(b), a)
        cycle = {"cycle_a": l1_loss(F(fake_b), a), "cycle_b": l1_loss(G(fake_a), b)}
        identity = {"identity_a": l1_loss(same_a, a), "identity_b": l1_loss(same_b, b)} if weight else {}
        adversarial = {
            "g_loss_ab": self.loss(self.d_b(fake_b), real=True),
            "g_loss_ba": self.loss(self.d_a(fake_a), real=True),
        }
        loss = total(adversarial) + self.config.cycle * (total(cycle) + (weight * total(identity) if weight else 0.0))
        self.g_optimizer.step(mg.grad(loss, self.g_optimizer.params))  # through D_A and D_B, but only to the weights of G and F
        return fake_a.detach(), fake_b.detach(), adversarial | cycle | identity

    def train_discriminators(self, a: mg.Tensor, b: mg.Tensor, fake_a: mg.Tensor, fake_b: mg.Tensor) -> Metrics:
        """One step of D_A and D_B. Returns the losses."""
        metrics = {
            "d_loss_a": self.discriminator_loss(self.d_a, a, fake_a),
            "d_loss_b": self.discriminator_loss(self.d_b, b, fake_b),
        }
        self.d_optimizer.step(mg.grad(total(metrics), self.d_optimizer.params))
        if self.config.gan_loss == "wgan":
            clip_weights([*self.d_a.parameters(), *self.d_b.parameters()], CLIP)
        return metrics

    def discriminator_loss(self, D: nn.Module, real: mg.Tensor, fake: mg.Tensor) -> mg.Tensor:
        real_scores, fake_scores = self.each(D, real, fake)
        loss = self.loss(real_scores, real=True) + self.loss(fake_scores, real=False)
        if self.config.gan_loss == "wgan-gp":
            alpha = self.uniform((len(real), 1, 1, 1))
            return loss + PENALTY_WEIGHT * gradient_penalty(D, alpha * real + (1 - alpha) * fake)
        return loss if self.config.gan_loss == "wgan" else 0.5 * loss

    def each(self, network: nn.Module, *images: mg.Tensor) -> list[mg.Tensor]:
        """The network's outputs for several batches: in one pass, unless batch normalisation would mix their statistics."""
        if self.config.norm == "batch":
            return [network(x) for x in images]
        n, outputs = len(images[0]), network(concatenate(images))
        return [outputs[i : i + n] for i in range(0, len(outputs), n)]

    def set_rate(self) -> None:
        """Give both optimizers the learning rate of this step."""
        self.g_optimizer.lr = self.d_optimizer.lr = self.rate()

    def rate(self) -> float:
        """The learning rate of this step: constant, then falling linearly to 0 in the last `decay_epochs`."""
        config = self.config
        decay = config.epochs // 2 if config.decay_epochs is None else config.decay_epochs
        steps, start = (n * self.steps_per_epoch for n in (config.epochs, config.epochs - decay))
        return optim.linear_decay(config.lr, steps, start)(self.g_optimizer.steps)

    def load_batches(self) -> UnpairedBatches:
        config, data = self.config, load_unpaired(self.config.data, self.config.load_size)
        self.data = data
        if config.palette:  # a resumed run loads its own afterwards
            self.a_to_b.palette.take_from(data.train_b)
            self.b_to_a.palette.take_from(data.train_a)
        self.test_a, self.test_b = (center_crop(images, config.image_size) for images in (data.test_a, data.test_b))
        held_out = (data.test_a, data.test_b)
        batches = UnpairedBatches(self.crops(data.train_a, 0), self.crops(data.train_b, 1), held_out, data.source)
        self.steps_per_epoch = batches.per_epoch
        return batches

    def crops(self, images: np.ndarray, domain: int) -> RandomCrops:
        """Batches of one domain, 0 for A and 1 for B."""
        config = self.config
        order = (config.batch_size, (config.seed, domain), self.backend, self.dtype)
        return RandomCrops(images, config.image_size, not config.no_mirror, *order)

    @property
    def granularity(self) -> int:
        """The generators take images whose height and width are multiples of this."""
        return 2 ** unet_halvings(self.config.image_size) if self.config.generator in UNETS else 8

    def translate(self, images: np.ndarray, direction: str) -> np.ndarray:
        """Images of one domain, uint8 (n, 3, height, width), as the other domain. The direction is AtoB or BtoA.

        Height and width must be multiples of `granularity`.
        """
        network = self.a_to_b if direction == "AtoB" else self.b_to_a
        parts = []
        for i in range(0, len(images), AT_ONCE):
            x = channels_last(from_pixels(images[i : i + AT_ONCE], self.dtype))
            parts.append(as_pixels(in_evaluation(network, mg.Tensor(x).to(self.backend))))
        return np.concatenate(parts)

    def sample_sheet(self, samples: np.ndarray | None = None) -> np.ndarray:
        shown = min(SHOWN, len(self.test_a), len(self.test_b))
        columns = []
        for images, there, back in ((self.test_a, "AtoB", "BtoA"), (self.test_b, "BtoA", "AtoB")):
            some = images[np.linspace(0, len(images) - 1, shown).astype(int)]
            translated = self.translate(some, there)
            columns += [some, translated, self.translate(translated, back)]
        return with_headings(grid(np.stack(columns, axis=1).reshape(-1, *self.image_shape), across=len(columns)), COLUMNS)

    def report(self) -> str:
        from gans.measures.translation import report  # it needs a captured step, to train a classifier

        return report(self.translate, self.data, self.test_a, self.test_b)


def total(losses: Metrics) -> mg.Tensor:
    """The sum of the losses."""
    return functools.reduce(operator.add, losses.values())
