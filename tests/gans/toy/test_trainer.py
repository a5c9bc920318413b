import numpy as np
import pytest

import minigrad as mg
from gans.toy.data import mixture, ring
from gans.toy.losses import LOSSES
from gans.toy.trainer import ToyGAN


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_to_finite_points_and_captured_steps_are_the_same_bits(name):
    captured, plain = (ToyGAN(ring(), LOSSES[name], seed=1, steps=10, width=8, batch=16) for _ in range(2))
    plain.captured = plain.step
    points = []
    for toy in (captured, plain):
        mg.manual_seed(5)
        metrics = toy.train(4)
        assert np.isfinite(list(metrics.values())).all() and toy.done == 4
        points.append(toy.generate(20))
    assert np.isfinite(points[0]).all() and np.array_equal(*points)


def test_the_clipped_critics_weights_stay_within_the_bound():
    toy = ToyGAN(ring(), LOSSES["wgan"], width=8, batch=16)
    toy.train(3)
    assert max(float(np.abs(p.numpy()).max()) for p in toy.discriminator.parameters()) <= np.float32(LOSSES["wgan"].weight)


def test_slopes_are_derivatives_in_the_units_that_d_sees_and_arrows_in_those_of_the_data():
    toy = ToyGAN(ring(), LOSSES["gan"], width=8)
    points, h = np.array([[0.3, 0.4], [-0.7, 0.2]]), 1e-3
    partial = [(toy.scores(points + step) - toy.scores(points - step)) / (2 * h) for step in h * np.eye(2)]
    assert toy.slopes(points) * toy.scale == pytest.approx(np.hypot(*partial), rel=0.02)
    towards = np.stack(partial, axis=1) * (1 / (1 + np.exp(toy.scores(points))))[:, None]  # the gradient of log D
    assert toy.arrows(points) == pytest.approx(towards, rel=0.05, abs=1e-3)


def test_a_gan_learns_two_bumps_on_a_line():
    toy = ToyGAN(mixture(), LOSSES["r3gan"], steps=400, width=32)
    toy.train(400)
    x = toy.generate(2_000)
    assert 0.25 < (x < 0).mean() < 0.75 and 1.2 < np.abs(x).mean() < 1.8
