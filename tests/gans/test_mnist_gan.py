"""The networks and the step of `mnist_gan`. Tests of whole runs with this trainer are in tests/gans/training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.data.batches import Batches
from gans.mnist_gan import Config, MnistGAN
from minigrad import optim, random
from minigrad.arrays import backend
from minigrad.kernels import cpu


@pytest.fixture
def config(digits: Path) -> Config:
    return Config(backend="numpy", data=str(digits), batch_size=16)


@pytest.fixture
def trainer(config: Config) -> MnistGAN:
    mg.manual_seed(0)
    return MnistGAN(config)


@pytest.fixture
def real(trainer: MnistGAN) -> mg.Tensor:
    return Batches(trainer.load_images()[0], 16, seed=0)[0][0]


def test_the_fixed_noise_never_appears_in_training(trainer: MnistGAN) -> None:
    fixed = trainer.fixed_noise(64, seed=0).numpy()
    counter = random.default_generator.counter
    np.testing.assert_array_equal(trainer.fixed_noise(64, seed=0).numpy(), fixed)
    assert random.default_generator.counter == counter
    mg.manual_seed(0)
    training = np.concatenate([trainer.noise(128).numpy() for _ in range(20)])
    assert abs(np.corrcoef(fixed.ravel(), training[:64].ravel())[0, 1]) < 0.05
    assert not set(map(bytes, fixed)) & set(map(bytes, training))


def test_the_fixed_noise_is_normal_and_differs_by_seed(trainer: MnistGAN) -> None:
    first, second = trainer.fixed_noise(100, 3).numpy(), trainer.fixed_noise(100, 4).numpy()
    assert first.dtype == np.float32
    assert abs(first.mean()) < 0.05
    assert abs(first.std() - 1) < 0.05
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_images_are_made_in_evaluation_mode_and_training_mode_is_restored(trainer: MnistGAN) -> None:
    modes: list[bool] = []

    class Spy(mg.nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            modes.append(self.training)
            assert not x.requires_grad
            return x

    setattr(trainer.generator, "7", Spy())
    trainer.generator.train()
    images = trainer.generate(trainer.fixed_noise(5, 0))
    assert modes == [False]
    assert all(module.training for module in trainer.generator.modules())
    assert images.shape == (5, 1, 28, 28)
    assert images.dtype == np.uint8


def test_minus_one_becomes_black_and_one_white(trainer: MnistGAN) -> None:
    class Constant(mg.nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return mg.Tensor(np.array([-1.2, -1, 0, 1, 1.2], np.float32).reshape(5, 1, 1, 1))

    trainer.generator = Constant()
    assert trainer.generate(mg.Tensor(np.zeros((5, 100), np.float32))).ravel().tolist() == [0, 0, 128, 255, 255]


def test_each_half_of_a_step_changes_only_its_own_network(
    trainer: MnistGAN, real: mg.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(net: mg.nn.Module) -> dict[str, bytes]:
        return {name: a.tobytes() for name, a in net.state_dict().items()}

    def watched(step: Callable[[Any], None], own: mg.nn.Module, other: mg.nn.Module) -> Callable[[Any], None]:
        def run(grads: Any) -> None:
            order.append(own)
            before = weights(own), weights(other)
            step(grads)
            assert weights(other) == before[1]
            assert [name for name, a in weights(own).items() if a == before[0][name]] == []

        return run

    order: list[mg.nn.Module] = []
    D, G = trainer.discriminator, trainer.generator
    at_start = weights(G)
    monkeypatch.setattr(trainer.d_optimizer, "step", watched(trainer.d_optimizer.step, D, G))
    monkeypatch.setattr(trainer.g_optimizer, "step", watched(trainer.g_optimizer.step, G, D))
    trainer.step(real)
    assert order == [D, G]
    assert weights(G) != at_start
    assert all(p.grad is None for p in [*D.parameters(), *G.parameters()]), "no gradient is accumulated in .grad"


def test_only_gradients_that_are_used_are_computed(trainer: MnistGAN, real: mg.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The discriminator's half reaches no weight of the generator, and the generator's half none of the discriminator."""
    products: list[tuple[int, ...]] = []
    halves: list[list[tuple[int, ...]]] = []
    matmul, grad = cpu.matmul, mg.grad

    def watched_matmul(*arguments: Any, **options: Any) -> Any:
        result = matmul(*arguments, **options)
        products.append(result.shape)
        return result

    def watched_grad(*arguments: Any, **options: Any) -> Any:
        products.clear()
        result = grad(*arguments, **options)
        halves.append(list(products))
        return result

    monkeypatch.setattr(cpu, "matmul", watched_matmul)
    monkeypatch.setattr(mg, "grad", watched_grad)
    trainer.step(real)
    of_d, of_g = halves
    d_weights, g_weights = {(256, 784), (256, 256), (1, 256)}, {(256, 100), (256, 256), (784, 256)}
    assert d_weights <= set(of_d)
    assert len([s for s in of_d if s[0] != 32]) == 3
    assert g_weights <= set(of_g)
    assert len([s for s in of_g if s[0] != 16]) == 3
    assert (32, 784) not in of_d, "the gradient of the images is not needed"
    assert (16, 100) not in of_g, "the gradient of the noise is not needed"


def test_a_step_draws_noise_once_and_returns_four_metrics(trainer: MnistGAN, real: mg.Tensor) -> None:
    before = random.default_generator.counter
    metrics = trainer.step(real)
    latents, masks = 16 * 100, (2 * 16 + 16) * (256 + 256)  # D sees both kinds of images, then the generated ones again
    assert random.default_generator.counter - before == (latents + masks) // 4
    assert list(metrics) == list(MnistGAN.captions) == ["d_loss", "g_loss", "D(x)", "D(G(z))"]
    values = {name: value.item() for name, value in metrics.items()}
    assert abs(values["d_loss"] - 2 * np.log(2)) < 0.1
    assert abs(values["g_loss"] - np.log(2)) < 0.1
    assert all(abs(values[name] - 0.5) < 0.05 for name in ("D(x)", "D(G(z))"))
    assert not any(value.requires_grad for name, value in metrics.items() if name.startswith("D("))


def test_the_networks_have_these_layers_and_optimizers(trainer: MnistGAN) -> None:
    assert [p.shape for p in trainer.discriminator.parameters()] == [(256, 784), (256,), (256, 256), (256,), (1, 256), (1,)]
    assert [p.shape for p in trainer.generator.parameters()] == [(256, 100), (256,), (256, 256), (256,), (784, 256), (784,)]
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        assert isinstance(optimizer, optim.Adam)
        assert (optimizer.lr, optimizer.betas) == (3e-4, (0.5, 0.999))


def test_steps_do_not_make_memory_grow_without_the_garbage_collector(trainer: MnistGAN, real: mg.Tensor) -> None:
    import gc
    import tracemalloc

    for _ in range(3):
        trainer.step(real)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        begin = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            trainer.step(real)
        grown = tracemalloc.get_traced_memory()[0] - begin
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 100_000, f"{grown} bytes in 30 steps without the garbage collector"


def test_a_trainer_is_made_from_its_settings_alone_as_in_a_notebook() -> None:
    """The backend "auto" is resolved without the command line."""
    trainer = MnistGAN(Config())
    assert trainer.backend == backend.resolve("auto")
    assert trainer.generate(mg.randn((2, 100), trainer.backend)).shape == (2, 1, 28, 28)
