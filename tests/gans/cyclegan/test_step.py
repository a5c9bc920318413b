"""CycleGAN's step and its learning rate schedule, with tiny networks on 32 x 32 images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from gans.cyclegan import CycleGAN
from gans.cyclegan.config import Config
from minigrad import nn
from minigrad.arrays.layout import channels_last

G_LOSSES = ("g_loss_ab", "g_loss_ba", "cycle_a", "cycle_b", "identity_a", "identity_b")
GAN_LOSSES = ("lsgan", "bce", "wgan", "wgan-gp")


def make(**settings: Any) -> CycleGAN:
    mg.manual_seed(0)
    given = {"backend": "numpy", "image_size": 32, "width": 2, "generator": "unet", "batch_size": 2, **settings}
    return CycleGAN(Config(**given))


def noise(seed: int, n: int = 2, size: int = 32) -> mg.Tensor:
    values = np.random.default_rng(seed).uniform(-1, 1, (n, 3, size, size))
    return mg.Tensor(channels_last(values.astype(np.float32)))


A, B = noise(1), noise(2)


def numbers(metrics: dict[str, mg.Tensor]) -> dict[str, float]:
    return {name: float(value.item()) for name, value in metrics.items()}


def weights(*networks: nn.Module) -> list[bytes]:
    return [p.data.tobytes() for network in networks for p in network.parameters()]


# --- the step


class Outputs:
    """The outputs of a trainer's networks for single batches, as arrays."""

    def __init__(self, trainer: CycleGAN) -> None:
        self.trainer = trainer

    def __getattr__(self, name: str) -> Callable[[Any], np.ndarray]:
        network = getattr(self.trainer, {"G": "a_to_b", "F": "b_to_a", "D_A": "d_a", "D_B": "d_b"}[name])

        def run(x: Any) -> np.ndarray:
            with mg.no_grad():
                return network(x if isinstance(x, mg.Tensor) else mg.Tensor(x)).numpy()

        return run


def gan_loss(kind: str, scores: np.ndarray, real: bool) -> float:
    values = scores.astype(np.float64)
    if kind == "lsgan":
        return float(((values - real) ** 2).mean())
    if kind == "bce":
        return float(np.log1p(np.exp(-values if real else values)).mean())
    return float(-values.mean() if real else values.mean())


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(x.astype(np.float64) - y).mean())


@pytest.mark.parametrize(
    ("kind", "norm"),
    [("lsgan", "instance"), ("lsgan", "batch"), ("bce", "instance"), ("wgan", "instance"), ("wgan-gp", "instance")],
)
def test_the_generators_descend_the_papers_loss(kind: str, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(gan_loss=kind, norm=norm, cycle=3.0, identity=0.7)
    net, a, b = Outputs(trainer), A.numpy(), B.numpy()
    fake_a, fake_b = net.F(B), net.G(A)
    expected = {
        "g_loss_ab": gan_loss(kind, net.D_B(fake_b), True), "g_loss_ba": gan_loss(kind, net.D_A(fake_a), True),
        "cycle_a": distance(net.F(fake_b), a), "cycle_b": distance(net.G(fake_a), b),
        "identity_a": distance(net.F(A), a), "identity_b": distance(net.G(B), b),
    }  # fmt: skip
    losses, plain = [], mg.grad
    monkeypatch.setattr(mg, "grad", lambda loss, params: losses.append(loss.item()) or plain(loss, params))
    given_a, given_b, metrics = trainer.train_generators(A, B)
    assert numbers(metrics) == pytest.approx(expected, rel=1e-4)
    g_ab, g_ba, cycle_a, cycle_b, identity_a, identity_b = (expected[name] for name in G_LOSSES)
    assert losses == pytest.approx([g_ab + g_ba + 3 * (cycle_a + cycle_b) + 3 * 0.7 * (identity_a + identity_b)], rel=1e-4)
    np.testing.assert_allclose(given_a.numpy(), fake_a, atol=1e-5)
    np.testing.assert_allclose(given_b.numpy(), fake_b, atol=1e-5)


@pytest.mark.parametrize("kind", ["lsgan", "bce"])
def test_the_discriminators_descend_half_of_their_two_losses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(gan_loss=kind)
    net, fake_a, fake_b = Outputs(trainer), noise(3), noise(4)
    expected = {
        "d_loss_a": 0.5 * (gan_loss(kind, net.D_A(A), True) + gan_loss(kind, net.D_A(fake_a), False)),
        "d_loss_b": 0.5 * (gan_loss(kind, net.D_B(B), True) + gan_loss(kind, net.D_B(fake_b), False)),
    }
    losses, plain = [], mg.grad
    monkeypatch.setattr(mg, "grad", lambda loss, params: losses.append(loss.item()) or plain(loss, params))
    assert numbers(trainer.train_discriminators(A, B, fake_a, fake_b)) == pytest.approx(expected, rel=1e-4)
    assert losses == pytest.approx([sum(expected.values())], rel=1e-4)


def test_with_wgan_the_critics_descend_the_wasserstein_loss_and_their_weights_are_clipped() -> None:
    trainer = make(gan_loss="wgan")
    net, fake_a, fake_b = Outputs(trainer), noise(3), noise(4)
    expected = {
        "d_loss_a": float(net.D_A(fake_a).mean() - net.D_A(A).mean()),
        "d_loss_b": float(net.D_B(fake_b).mean() - net.D_B(B).mean()),
    }
    assert isinstance(trainer.d_optimizer, mg.optim.RMSprop)
    before = [p.numpy().copy() for p in trainer.d_optimizer.params]
    assert max(np.abs(p).max() for p in before) > 0.011
    assert numbers(trainer.train_discriminators(A, B, fake_a, fake_b)) == pytest.approx(expected, rel=1e-4)
    after = [p.numpy() for p in trainer.d_optimizer.params]
    assert max(np.abs(p).max() for p in after) == np.float32(0.01)
    for old, new in zip(before, after, strict=True):
        if old.shape != (1,):  # the last bias, of which the loss does not depend
            assert (np.abs(new) < 0.01).any() and (old.clip(-0.01, 0.01) != new).any(), "others move, within the bounds"


def test_with_wgan_gp_each_image_has_one_score_and_one_penalised_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from gans.cyclegan import trainer as module

    trainer = make(gan_loss="wgan-gp")
    net, fake_a, points = Outputs(trainer), noise(3), []

    def penalty(critic: nn.Module, between: mg.Tensor) -> mg.Tensor:
        points.append(between.numpy())
        return mg.Tensor(np.float32(0.25))

    monkeypatch.setattr(module, "gradient_penalty", penalty)
    assert net.D_A(A).shape == (2, 1)
    expected = net.D_A(fake_a).mean() - net.D_A(A).mean() + 10 * 0.25
    assert trainer.discriminator_loss(trainer.d_a, A, fake_a).item() == pytest.approx(expected, rel=1e-5)
    (between,) = points
    alphas = []
    for x, real, fake in zip(between, A.numpy(), fake_a.numpy(), strict=True):
        alphas.append(((x - fake) * (real - fake)).sum() / ((real - fake) ** 2).sum())
        np.testing.assert_allclose(x, alphas[-1] * real + (1 - alphas[-1]) * fake, atol=1e-5)
    assert all(0 <= alpha <= 1 for alpha in alphas) and abs(alphas[0] - alphas[1]) > 1e-3, "one for each image"


@pytest.mark.parametrize("kind", GAN_LOSSES)
def test_each_half_of_a_step_changes_its_own_networks_alone_and_all_of_them(kind: str) -> None:
    trainer = make(gan_loss=kind)
    generators, discriminators = (trainer.a_to_b, trainer.b_to_a), (trainer.d_a, trainer.d_b)
    g_before, d_before = weights(*generators), weights(*discriminators)
    trainer.train_generators(A, B)
    assert weights(*discriminators) == d_before
    g_after = weights(*generators)
    assert [i for i, (old, new) in enumerate(zip(g_before, g_after, strict=True)) if old == new] == []
    trainer.train_discriminators(A, B, noise(3), noise(4))
    assert weights(*generators) == g_after
    same = [i for i, (old, new) in enumerate(zip(d_before, weights(*discriminators), strict=True)) if old == new]
    last_biases = [len(weights(trainer.d_a)) - 1, len(d_before) - 1]
    assert same == (last_biases if kind in ("wgan", "wgan-gp") else []), "a critic's loss does not depend on its last bias"
    assert all(p.grad is None for network in (*generators, *discriminators) for p in network.parameters())


def test_the_pools_get_the_new_translations_and_the_discriminators_get_what_the_pools_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make()
    net = Outputs(trainer)
    fake_a, fake_b = net.F(B), net.G(A)
    came: dict[str, np.ndarray] = {}
    old = {"pool_a": noise(5), "pool_b": noise(6)}
    for name in old:
        pool = getattr(trainer, name)
        monkeypatch.setattr(pool, "exchange", lambda images, name=name: came.update({name: images.numpy()}) or old[name])
    judged = []
    monkeypatch.setattr(
        trainer, "discriminator_loss", lambda D, real, fake: judged.append((D, real, fake)) or (D(fake) ** 2).mean()
    )
    trainer.step(A, B)
    np.testing.assert_allclose(came["pool_a"], fake_a, atol=1e-5)
    np.testing.assert_allclose(came["pool_b"], fake_b, atol=1e-5)
    assert [[id(x) for x in each] for each in judged] == [
        [id(trainer.d_a), id(A), id(old["pool_a"])],
        [id(trainer.d_b), id(B), id(old["pool_b"])],
    ]


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("identity", "images"), [(0.5, 6), (0.0, 4)])
def test_without_the_identity_loss_its_forward_pass_is_skipped(
    norm: str, identity: float, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(identity=identity, norm=norm)
    seen = {"a_to_b": 0, "b_to_a": 0}
    for name in seen:
        plain = getattr(trainer, name).forward

        def forward(x: mg.Tensor, name: str = name, plain: Any = plain) -> mg.Tensor:
            seen[name] += len(x)
            return plain(x)

        monkeypatch.setattr(getattr(trainer, name), "forward", forward)
    metrics = numbers(trainer.step(A, B))
    assert seen == {"a_to_b": images, "b_to_a": images}, "G(a), G(F(b)) and perhaps G(b), two images each"
    assert {"identity_a", "identity_b"}.isdisjoint(metrics) == (identity == 0)


BRIGHT, DARK = mg.Tensor(A.data * 0.3 + 0.6), mg.Tensor(B.data * 0.3 - 0.6)


@pytest.mark.parametrize(
    "settings",
    [
        *[{"gan_loss": kind, "norm": "instance"} for kind in GAN_LOSSES],
        *[{"gan_loss": kind, "norm": "batch"} for kind in ("lsgan", "bce")],
        *[{"generator": name, "upsample": way} for name in ("resnet6", "unet", "retouch") for way in ("transpose", "resize")],
        {"generator": "resnet9", "norm": "batch"},
        {"batch_size": 1},
        {"batch_size": 1, "norm": "batch"},
        {"identity": 0.0},
        {"pool": 0},
        {"colour_waves": 2},
        {"generator": "retouch", "palette": 5},
    ],
    ids=str,
)
def test_steps_stay_finite_and_the_cycle_losses_fall(settings: dict[str, Any]) -> None:
    trainer = make(lr=0.01, **settings)
    n = settings.get("batch_size", 2)
    rows = [numbers(trainer.step(BRIGHT[:n], DARK[:n])) for _ in range(16)]
    curves = [name for name in CycleGAN.captions if settings.get("identity") != 0 or not name.startswith("identity")]
    assert all(list(row) == curves for row in rows)
    assert len(CycleGAN.captions) == 8
    assert np.isfinite([list(row.values()) for row in rows]).all()
    for name in ("cycle_a", "cycle_b"):
        assert rows[-1][name] < 0.8 * rows[0][name]


@pytest.mark.parametrize("name", ["resnet6", "unet", "retouch"])
def test_colour_waves_reach_all_four_networks(name: str) -> None:
    for waves, channels in ((0, 3), (2, 15)):
        trainer = make(generator=name, colour_waves=waves)
        for network in (trainer.a_to_b, trainer.b_to_a, trainer.d_a, trainer.d_b):
            first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
            assert first.weight.shape[1] == channels


@pytest.mark.parametrize("kind", GAN_LOSSES)
def test_the_discriminators_learn_to_recognise_their_domain(kind: str) -> None:
    trainer = make(gan_loss=kind, lr=2e-3)
    for _ in range(15):
        trainer.train_discriminators(BRIGHT, DARK, DARK, BRIGHT)
    net = Outputs(trainer)
    assert net.D_A(BRIGHT).mean() > net.D_A(DARK).mean() + 0.05
    assert net.D_B(DARK).mean() > net.D_B(BRIGHT).mean() + 0.05


@pytest.mark.parametrize(("norm", "calls"), [("instance", 1), ("batch", 2)])
def test_batches_go_through_a_network_together_unless_that_would_mix_them(norm: str, calls: int) -> None:
    trainer = make(norm=norm)
    passes = []

    class Spy(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            passes.append(len(x))
            return trainer.a_to_b(x)

    together = [y.numpy() for y in trainer.each(Spy(), A, B)]
    assert len(passes) == calls
    for y, x in zip(together, (A, B), strict=True):
        np.testing.assert_allclose(y, Outputs(trainer).G(x), atol=1e-5)


def test_the_optimizers_are_the_papers() -> None:
    trainer = make()
    for optimizer, networks in (
        (trainer.g_optimizer, (trainer.a_to_b, trainer.b_to_a)),
        (trainer.d_optimizer, (trainer.d_a, trainer.d_b)),
    ):
        assert (type(optimizer).__name__, optimizer.lr, optimizer.betas) == ("Adam", 2e-4, (0.5, 0.999))
        assert [id(p) for p in optimizer.params] == [id(p) for network in networks for p in network.parameters()]
    assert len(trainer.pool_a.images) == len(trainer.pool_b.images) == 50
    assert len({trainer.pool_a.seed, trainer.pool_b.seed, make(seed=1).pool_a.seed}) == 3, "each pool chooses for itself"
    assert trainer.config.batch_size == 2 and Config().batch_size == 1


# --- the rate


def rates(trainer: CycleGAN, steps: int) -> list[float]:
    """The learning rate of each step, divided by --lr."""
    shares = []
    for _ in range(steps):
        trainer.step(A, B)
        assert trainer.g_optimizer.lr == trainer.d_optimizer.lr
        shares.append(trainer.g_optimizer.lr / trainer.config.lr)
    return shares


@pytest.mark.parametrize(
    ("epochs", "decay", "expected"),
    [
        (4, None, [1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
        (4, 2, [1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
        (4, 1, [1, 1, 1, 1, 1, 1, 1, 1 / 2]),
        (4, 0, [1] * 8),
        (2, 2, [1, 3 / 4, 2 / 4, 1 / 4]),
        (1, None, [1, 1]),
    ],
    ids=str,
)
def test_the_rate_is_constant_then_falls_to_0_in_equal_steps(epochs: int, decay: int | None, expected: list[float]) -> None:
    trainer = make(epochs=epochs, decay_epochs=decay)
    trainer.steps_per_epoch = 2
    assert rates(trainer, 2 * epochs) == pytest.approx(expected)


def test_a_loaded_trainer_continues_the_schedule() -> None:
    whole, first, second = (make(epochs=4) for _ in range(3))
    for trainer in (whole, first, second):
        trainer.steps_per_epoch = 2
    expected = rates(whole, 8)
    begin = rates(first, 6)
    second.load_state_dict({name: np.array(a) for name, a in first.state_dict().items()})
    assert begin + rates(second, 2) == expected
    for name, a in whole.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], a, err_msg=name)


def test_a_rate_of_0_changes_no_weight() -> None:
    trainer = make(epochs=1, decay_epochs=1)
    trainer.steps_per_epoch = 1
    rates(trainer, 1)
    before = weights(*trainer.networks().values())
    assert rates(trainer, 1) == [0]
    assert weights(*trainer.networks().values()) == before


def test_without_data_the_rate_is_lr() -> None:
    assert rates(make(), 2) == [1, 1]
