"""SSGAN: a semi-supervised GAN, whose discriminator learns to classify digits from a few labels.

    python -m gans.ssgan --labels 100

D is a classifier with a logit l_k for each of K classes. One more class, "generated", has the logit 0.
With  Z(x) = sum_k exp l_k(x),  the probability that x is real is  D(x) = Z(x) / (Z(x) + 1).
All images teach D what digits look like; the few labels teach it their names:

    for each batch of images x, and batch of labelled images x' with labels y:
        draw z ~ N(0, I)
        descend  - mean log p(y | x', real) - mean log D(x) - mean log(1 - D(G(z)))
                 + entropy_weight * mean entropy of p(. | x, real)                   with respect to D's weights
        move the classifier's weights a little towards D's
        descend  || mean f(x) - mean f(G(z)) ||^2                                    with respect to G's weights

where  p(y | x, real) = exp l_y / Z,  and f are the features before D's last layer. This loss of G, feature
matching, makes G's images resemble the data only on average. They fill the space around the real ones, between
the classes, and D learns to draw its borders there. A generator that is too good would not help D. The entropy,
which the first paper does not have, asks D to be sure of each image's class: it moves the borders away from images.

Details: log Z is a log-sum-exp, so log D = log Z - softplus(log Z) and log(1 - D) = -softplus(log Z). The
labelled images are distorted at random, as handwriting varies (see `gans.data.distorted`). The paper's D has dense
layers and Gaussian noise; here it is a small convolutional network with dropout. Without noise or dropout
D wins, and learns nothing more from G.

At the end the run writes the classifier's test error to report.md, beside that of the same network
trained with the same labelled batches alone, whose weights are averaged too.

Sources: Salimans et al., "Improved techniques for training GANs", NeurIPS 2016, sections 3.1 and 5; the entropy is
that of Dai et al., "Good semi-supervised learning that requires a bad GAN", NeurIPS 2017.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.data.batches import Batches, Stream
from gans.data.distorted import DistortedBatches
from gans.data.labelled import DIGITS, LabelledBatches, SomeLabelled, load_labelled, some_of_each
from gans.data.mnist import load_mnist
from gans.measures import few_labels
from gans.networks.semi_supervised import Classifier, dense_generator
from gans.training.average import follow
from gans.training.cli import main
from gans.training.config import option
from gans.training.latent import GAN, GANConfig
from gans.training.loop import captured
from gans.training.trainer import Metrics, Shape
from minigrad import nn, optim


@dataclass(frozen=True)
class Config(GANConfig):
    """Train a classifier of MNIST's digits with a few labels, beside a GAN that learns from all images."""

    data: str | None = option(None, "folder with the IDX files of MNIST or Fashion-MNIST; or the word synthetic")
    epochs: int = option(10, "passes through the data", at_least=1)
    labels: int = option(100, "training images whose labels are used, as many of each class; --seed draws them", at_least=10)
    batch_size: int = option(64, "images per step; of labelled ones as many, or all of them", at_least=1)
    lr: float = option(1e-3, "learning rate of the discriminator")
    g_lr: float = option(3e-3, "learning rate of the generator")
    entropy_weight: float = option(1.0, "weight of the entropy of the classes that D gives to an image without label")
    ema: float = option(0.99, "decay of the running average of D's weights, which is the classifier", at_most=0.99999)
    dropout: float = option(
        0.5,
        "probability of each activation of D's dense layers to become 0 in a step; half of it for convolutions",
        at_most=0.99,
    )


class SSGAN(GAN):
    """The two networks, their optimizers, and the training step."""

    name = "ssgan"
    config_class = Config
    config: Config
    captions = {
        "labelled": "cross-entropy of the labelled images: log 10 = 2.3 if D only guesses their classes",
        "entropy": "of the classes of the other images: log 10 = 2.3 if D only guesses, 0 if it is sure of each",
        "d_loss": "discriminator loss of the other images, -log D(x) - log(1 - D(G(z))): lower if D wins",
        "g_loss": "generator loss, the squared distance of the mean features: its scale is that of D's features",
        "D(x)": "mean of D on real images",
        "D(G(z))": "mean of D on generated images",
    }
    kept = "generator", "classifier"
    latent_size = 100
    image_shape = (1, 28, 28)
    classes = DIGITS

    def make_generator(self) -> nn.Module:
        return dense_generator(self.latent_size)

    def make_discriminator(self) -> Classifier:
        return Classifier(len(self.classes), self.config.dropout)

    def __init__(self, config: Config, dtype: Any = np.float32) -> None:
        super().__init__(config, dtype)
        self.g_optimizer.lr = config.g_lr
        self.classifier = copy.deepcopy(self.discriminator)

    def make_optimizer(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        return optim.Adam(parameters, self.config.lr, betas=(0.5, 0.999))

    @property
    def batch_shapes(self) -> tuple[Shape, ...]:
        n = min(self.config.batch_size, self.config.labels)
        return *super().batch_shapes, (n, *self.image_shape), (n,)

    def load_batches(self) -> Stream:
        config, data = self.config, load_labelled(self.config.data, 28)
        self.test = load_mnist(config.data, "test", labels=True)
        few = some_of_each(data.labels, config.labels, config.seed)
        n = min(config.batch_size, config.labels)
        distorted = DistortedBatches(data.images[few], n, (config.seed, 2), self.backend, self.dtype)
        self.labelled = LabelledBatches(distorted, data.labels[few])
        images = Batches(data.images, config.batch_size, config.seed, self.backend, self.dtype, data.source)
        return SomeLabelled(images, self.labelled)

    def step(self, real: mg.Tensor, labelled: mg.Tensor, labels: mg.Tensor) -> Metrics:
        D, G, n, k = self.discriminator, self.generator, len(real), len(labelled)
        fake = G(self.noise(n))

        logits = D(F.concatenate([labelled, real, fake.detach()]))  # detached: D's loss sends no gradient to G
        supervised = F.cross_entropy(logits[:k], labels)
        log_z = F.logsumexp(logits[k:], axis=1)
        d_loss = (F.softplus(log_z[:n]) - log_z[:n]).mean() + F.softplus(log_z[n:]).mean()
        log_p = logits[k : k + n] - log_z[:n].reshape(n, 1)
        entropy = -(F.exp(log_p) * log_p).sum(axis=1).mean()
        self.d_optimizer.step(mg.grad(supervised + d_loss + self.config.entropy_weight * entropy, D.parameters()))
        follow(self.classifier, D, self.config.ema)

        with mg.no_grad():
            aim = D.features(real).mean(axis=0)
        g_loss = ((aim - D.features(self.redrawn(fake)).mean(axis=0)) ** 2).sum()
        self.g_optimizer.step(mg.grad(g_loss, G.parameters()))  # through D, but only to G's weights

        with mg.no_grad():
            d_real, d_fake = F.sigmoid(log_z[:n]).mean(), F.sigmoid(log_z[n:]).mean()
        losses = {"labelled": supervised, "entropy": entropy, "d_loss": d_loss, "g_loss": g_loss}
        return {**losses, "D(x)": d_real, "D(G(z))": d_fake}

    def report(self) -> str:
        capture = (lambda step: step) if self.config.no_capture else captured
        steps = self.d_optimizer.steps
        with mg.random.seeded(self.config.seed):
            alone = self.make_discriminator().to(self.backend, self.dtype)
            average = copy.deepcopy(alone)
            optimizer = self.make_optimizer(alone.parameters())
            few_labels.train_alone(alone, average, self.config.ema, optimizer, self.labelled, steps, capture)
        assert self.test.labels is not None
        test = self.test.images[:, None], self.test.labels, self.backend, self.dtype
        errors = {"all images, and these labels (this run)": few_labels.error(self.classifier, *test)}
        errors[f"the labelled images alone, {steps:,} steps"] = few_labels.error(average, *test)
        return few_labels.table(errors, self.config.labels, len(self.test.images))


if __name__ == "__main__":
    main(SSGAN)
