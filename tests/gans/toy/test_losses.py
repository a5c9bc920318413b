import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from gans.toy.losses import LOSSES

SCORES = st.lists(st.floats(-5, 5), min_size=2, max_size=6).map(lambda values: np.array(values)[:, None])


@pytest.mark.parametrize("name", LOSSES)
@given(real=SCORES, fake=SCORES)
def test_d_wants_higher_scores_for_real_points_and_g_for_generated_ones(name, real, fake):
    loss, n = LOSSES[name], min(len(real), len(fake))
    real, fake = (mg.Tensor(scores[:n], requires_grad=True) for scores in (real, fake))
    to_real, to_fake = mg.grad(loss.d_loss(real, fake), [real, fake])
    below, above = np.ones((n, 1), bool), np.ones((n, 1), bool)  # lsgan and pearson have targets
    if name == "lsgan":
        below, above = real.numpy() < 1, fake.numpy() > 0
    if name == "pearson":
        above = fake.numpy() > -2
    if name != "softmax":  # which has a target for the share of each score
        assert (to_real.numpy()[below] <= 0).all() and (to_fake.numpy()[above] >= 0).all()
    (to_g,) = mg.grad(loss.g_loss(real, fake), [fake])
    inside = fake.numpy() < 1 if name == "lsgan" else np.ones((n, 1), bool)
    if name != "softmax":  # which wants them even
        assert (to_g.numpy()[inside] <= 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_d_that_gives_every_point_the_same_score_learns(name: str) -> None:
    real, fake = (mg.Tensor(np.full((3, 1), 0.1), requires_grad=True) for _ in range(2))
    to_real, to_fake = mg.grad(LOSSES[name].d_loss(real, fake), [real, fake])
    assert (to_real.numpy() < 0).all() and (to_fake.numpy() > 0).all()


@given(real=SCORES, fake=SCORES)
def test_softmax_losses_are_cross_entropies_with_one_softmax_over_the_batch(real, fake):
    both = np.concatenate([real, fake])[:, 0]
    log_softmax = both - np.log(np.exp(both).sum())
    r, f = mg.Tensor(real), mg.Tensor(fake)
    assert LOSSES["softmax"].d_loss(r, f).item() == pytest.approx(-log_softmax[: len(real)].mean())
    assert LOSSES["softmax"].g_loss(r, f).item() == pytest.approx(-log_softmax.mean())


@given(scores=SCORES)
def test_the_saturating_loss_and_the_usual_one_have_gradients_d_and_one_minus_d(scores):
    d = 1 / (1 + np.exp(-scores))
    for name, expected in (("saturating", -d), ("gan", d - 1)):
        fake = mg.Tensor(scores, requires_grad=True)
        (gradient,) = mg.grad(LOSSES[name].g_loss(fake, fake) * len(scores), [fake])
        assert gradient.numpy() == pytest.approx(expected)


@given(shift=st.floats(-50, 50), scores=SCORES)
def test_wasserstein_and_relativistic_losses_do_not_change_with_the_level_of_the_scores(shift, scores):
    for name in ("wgan", "wgan-gp", "r3gan", "softmax"):
        losses = [LOSSES[name].d_loss(mg.Tensor(scores + s), mg.Tensor(2 * scores + s)).item() for s in (0, shift)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-9)
