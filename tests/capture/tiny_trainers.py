"""Every trainer on tiny networks, small enough for the GPU emulator, on either backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

import gans.bigan
import gans.cgan
import gans.cyclegan
import gans.dcgan
import gans.hinge_gan
import gans.infogan
import gans.lsgan
import gans.mnist_gan
import gans.r3gan
import gans.softmax_gan
import gans.ssgan
import gans.wgan
import gans.wgan_gp
import minigrad as mg
from benchmarks.cases import random_batch
from gans.networks.dcgan import Architecture
from gans.networks.residual import Bottleneck
from gans.networks.translators import MeanOfPatches
from gans.training.recent_metrics import Reading
from gans.training.trainer import Metrics, Trainer
from minigrad import nn
from minigrad.arrays import backend
from minigrad.arrays.layout import channels_last

Batch = tuple[mg.Tensor, ...]


def dense_generator(trainer: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(trainer.latent_size, 16), nn.LeakyReLU(0.2), nn.Linear(16, 784), nn.Tanh(), nn.Reshape(1, 28, 28)
    )


def dense_discriminator(trainer: Any) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


def conv_generator(latent_size: int, image_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(latent_size, 4 * 49), nn.Reshape(4, 7, 7), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(3, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def conv_discriminator(image_size: int, channels: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 3, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 1),
    )  # fmt: skip


def make_mnist_gan(name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    with (
        mock.patch.object(gans.mnist_gan.MnistGAN, "make_generator", dense_generator),
        mock.patch.object(gans.mnist_gan.MnistGAN, "make_discriminator", dense_discriminator),
    ):
        return gans.mnist_gan.MnistGAN(gans.mnist_gan.Config(backend=name, **{"batch_size": 3, **settings}), dtype)


def scores_up_to_a_number(image_size: int) -> nn.Sequential:
    """For a loss of differences, without a last bias: its gradient is a rounding error, which Adam would magnify."""
    return nn.Sequential(*list(conv_discriminator(image_size))[:-1], nn.Linear(36, 1, bias=False))


def make_dcgan(trainer_class: type[gans.dcgan.DCGAN], name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    discriminator = scores_up_to_a_number if trainer_class is gans.softmax_gan.SoftmaxGAN else conv_discriminator
    small = {"28": Architecture(conv_generator, discriminator, latent_size=5, lr=1e-3)}
    with mock.patch.object(gans.dcgan, "ARCHITECTURES", small):
        sizes = {"batch_size": 3, "arch": "28", "ema": 0.5}
        return trainer_class(trainer_class.config_class(backend=name, **{**sizes, **settings}), dtype)


def tiny_classifier(trainer: Any) -> nn.Module:
    classifier = gans.ssgan.Classifier(len(trainer.classes), 0.3)
    classifier.features = nn.Sequential(
        nn.Conv2d(1, 2, 5, 4, 2), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(98, 6), nn.Tanh()
    )
    classifier.logits = nn.Linear(6, len(trainer.classes))
    return classifier


def make_ssgan(name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    with (
        mock.patch.object(gans.ssgan.SSGAN, "make_generator", dense_generator),
        mock.patch.object(gans.ssgan.SSGAN, "make_discriminator", tiny_classifier),
    ):
        return gans.ssgan.SSGAN(gans.ssgan.Config(backend=name, **{"batch_size": 3, **settings}), dtype)


def residual_discriminator(trainer: Any) -> nn.Sequential:
    """Without a last bias, because only differences of scores count."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 4, 4), nn.LeakyReLU(0.2), Bottleneck(2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(98, 1, bias=False)
    )


def make_r3gan(name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    with (
        mock.patch.object(gans.r3gan.R3GAN, "make_generator", dense_generator),
        mock.patch.object(gans.r3gan.R3GAN, "make_discriminator", residual_discriminator),
    ):
        sizes = {"batch_size": 2, "arch": "28", "ema": 0.5}
        return gans.r3gan.R3GAN(gans.r3gan.Config(backend=name, **{**sizes, **settings}), dtype)


def coded_generator(trainer: Any) -> nn.Module:
    generator = gans.infogan.CodedGenerator()
    generator.network = nn.Sequential(
        nn.Linear(74, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 784), nn.Tanh(), nn.Reshape(1, 28, 28)
    )
    return generator


def trunk_discriminator(trainer: Any) -> nn.Module:
    discriminator = gans.infogan.TrunkDiscriminator()
    discriminator.trunk = nn.Sequential(nn.Conv2d(1, 2, 4, 4), nn.LeakyReLU(0.1), nn.BatchNorm2d(2), nn.Flatten())
    discriminator.logit, discriminator.code = nn.Linear(98, 1), nn.Linear(98, 12)
    return discriminator


def make_infogan(name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    with (
        mock.patch.object(gans.infogan.InfoGAN, "make_generator", coded_generator),
        mock.patch.object(gans.infogan.InfoGAN, "make_discriminator", trunk_discriminator),
    ):
        return gans.infogan.InfoGAN(gans.infogan.Config(backend=name, **{"batch_size": 3, **settings}), dtype)


def tiny_encoder(trainer: Any) -> nn.Sequential:
    outputs = trainer.latent_size * (2 if trainer.config.encoder == "stochastic" else 1)
    return nn.Sequential(nn.Conv2d(1, 2, 4, 4), nn.BatchNorm2d(2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(98, outputs))


def pair_discriminator(trainer: Any) -> nn.Module:
    discriminator = gans.bigan.PairDiscriminator()
    discriminator.image = nn.Sequential(nn.Conv2d(1, 2, 4, 4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(98, 6))
    discriminator.latent = nn.Linear(trainer.latent_size, 6)
    discriminator.pair = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(12, 1))
    return discriminator


def make_bigan(name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    with (
        mock.patch.object(gans.bigan.BiGAN, "make_generator", dense_generator),
        mock.patch.object(gans.bigan.BiGAN, "make_encoder", tiny_encoder),
        mock.patch.object(gans.bigan.BiGAN, "make_discriminator", pair_discriminator),
    ):
        return gans.bigan.BiGAN(gans.bigan.Config(backend=name, **{"batch_size": 3, **settings}), dtype)


def make_wgan(trainer_class: type[gans.wgan.CriticTrainer], name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    with (
        mock.patch.object(gans.wgan.CriticTrainer, "make_generator", dense_generator),
        mock.patch.object(gans.wgan.CriticTrainer, "make_critic", dense_discriminator),
    ):
        return trainer_class(trainer_class.config_class(backend=name, **{"batch_size": 2, **settings}), dtype)


def translator(trainer: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 2, 4, 4), nn.InstanceNorm2d(2), nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(2, 2, 3),
        nn.ConvTranspose2d(2, 3, 4, 4), nn.Tanh(),
    )  # fmt: skip


def patch_discriminator(trainer: Any) -> nn.Sequential:
    """For the Wasserstein loss, without a last bias: its gradient is a rounding error, which Adam would magnify."""
    wasserstein = trainer.config.gan_loss in ("wgan", "wgan-gp")
    last = nn.Conv2d(2, 1, 3, bias=not wasserstein)
    layers = [nn.Conv2d(3, 2, 4, 4), nn.LeakyReLU(0.2), nn.InstanceNorm2d(2), last]
    return nn.Sequential(*layers, *([MeanOfPatches()] if wasserstein else []))


def make_cyclegan(name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    sizes = {"image_size": 32, "batch_size": 2, "pool": 3, "epochs": 4, "decay_epochs": 4}
    with (
        mock.patch.object(gans.cyclegan.CycleGAN, "make_generator", translator),
        mock.patch.object(gans.cyclegan.CycleGAN, "make_discriminator", patch_discriminator),
    ):
        trainer = gans.cyclegan.CycleGAN(gans.cyclegan.Config(backend=name, **{**sizes, **settings}), dtype)
    trainer.steps_per_epoch = 2  # the learning rate falls at every step
    return trainer


MAKERS: dict[str, Callable[..., Trainer]] = {
    "mnist_gan": make_mnist_gan,
    "dcgan": partial(make_dcgan, gans.dcgan.DCGAN),
    "lsgan": partial(make_dcgan, gans.lsgan.LSGAN),
    "softmax_gan": partial(make_dcgan, gans.softmax_gan.SoftmaxGAN),
    "hinge_gan": partial(make_wgan, gans.hinge_gan.HingeGAN),
    "wgan": partial(make_wgan, gans.wgan.WGAN, critic_steps=3),
    "wgan_gp": partial(make_wgan, gans.wgan_gp.WGANGP, critic_steps=2),
    "wgan_gp_dragan": partial(make_wgan, gans.wgan_gp.WGANGP, critic_steps=2, penalty="dragan"),
    "r3gan": make_r3gan,
    "cgan": partial(make_dcgan, gans.cgan.CGAN, condition="concat"),
    "cgan_projection": partial(make_dcgan, gans.cgan.CGAN, condition="projection"),
    "infogan": make_infogan,
    "bigan": make_bigan,
    "bigan_stochastic": partial(make_bigan, encoder="stochastic"),
    "ssgan": make_ssgan,
    "cyclegan": make_cyclegan,
    "cyclegan_wgan": partial(make_cyclegan, gan_loss="wgan", batch_size=1),
    "cyclegan_wgan_gp": partial(make_cyclegan, gan_loss="wgan-gp", batch_size=1),
}


def make(which: str, name: str, dtype: Any = np.float32, **settings: Any) -> Trainer:
    """A trainer on a backend. Every call gives the same weights and the same state of the random stream."""
    mg.manual_seed(1)
    return MAKERS[which](name, dtype, **settings)


def batches(trainer: Trainer, count: int) -> list[Batch]:
    """Random images for `count` steps, the same in every call."""
    rng = np.random.default_rng(0)
    return [
        tuple(
            mg.Tensor(backend.move(channels_last(a) if a.ndim == 4 else a, trainer.backend)) for a in random_batch(trainer, rng)
        )
        for _ in range(count)
    ]


def as_numbers(rows: list[Metrics]) -> list[dict[str, float]]:
    return Reading(rows).numbers()


def everything(trainer: Trainer) -> dict[str, np.ndarray]:
    """All state that the next step depends on: the trainer's arrays and the counters on the host."""
    arrays = {key: backend.to_numpy(a).copy() for key, a in trainer.state_dict().items()}
    counter = {"random.counter": np.array(mg.random.default_generator.counter)}
    changes = {
        f"{name}.{i}.changes": np.array(p.changes)
        for name, optimizer in trainer.optimizers().items()
        for i, p in enumerate(optimizer.params)
    }
    return {**arrays, **counter, **changes}
