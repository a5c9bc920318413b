"""What a `ToyGAN` knows, drawn: points, D's field, the arrows that it sends to G, and in one dimension the densities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gans.output import new_figure
from gans.toy import theory
from gans.toy.data import Floats
from gans.toy.trainer import ToyGAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 600  # points of each kind
ARROWS = 60
DPI = 80
GRID = 72  # points along a side at which D is evaluated
REAL, FAKE = "#222222", "#d62728"


def frame(toy: ToyGAN, title: str) -> np.ndarray:
    """One image of the present state, uint8 (height, width, 3)."""
    figure = new_figure(10, 5.4, DPI)
    figure.suptitle(f"{title}, step {toy.done:,}")
    left, right = figure.subplots(1, 2)
    if toy.real.dimensions == 1:
        draw_densities(left, toy)
        draw_score(right, toy)
    else:
        draw_field(left, toy)
        draw_slope(right, toy)
    return pixels(figure)


def panel(toy: ToyGAN, title: str) -> np.ndarray:
    """One small image of the present state, without words but its title."""
    figure = new_figure(3, 3.2, DPI)
    axes = figure.add_subplot()
    (draw_densities if toy.real.dimensions == 1 else draw_field)(axes, toy)
    axes.set(title=title, xticks=[], yticks=[])
    axes.legend().remove()
    return pixels(figure)


def draw_field(axes: Axes, toy: ToyGAN) -> None:
    """D as a heat map, data and generated points on it, and where G's loss pushes some of the generated ones."""
    side, places = places_of(toy)
    level = ranks(toy.scores(places))
    axes.imshow(level.reshape(GRID, GRID), cmap="RdBu", extent=(-side, side, -side, side), origin="lower", alpha=0.7)
    real, fake = toy.real.sample(SHOWN, np.random.default_rng(0)), toy.generate(SHOWN)
    axes.plot(*real.T, ".", color=REAL, markersize=2, label="data")
    axes.plot(*fake.T, ".", color=FAKE, markersize=2, label="generated")
    arrows = _of_length(toy.arrows(fake)[:ARROWS], 0.2 * side)
    axes.quiver(*fake[:ARROWS].T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.004, color=FAKE, alpha=0.8)
    axes.set(xlim=(-side, side), ylim=(-side, side), xticks=[], yticks=[], title="D: blue is real, red is generated")
    axes.legend(loc="upper right", fontsize=8)


def draw_slope(axes: Axes, toy: ToyGAN) -> None:
    """The norm of the gradient of D's score, in the units that D sees."""
    side, places = places_of(toy)
    slope = toy.slopes(places).reshape(GRID, GRID)
    picture = axes.imshow(slope, cmap="viridis", extent=(-side, side, -side, side), origin="lower")
    axes.figure.colorbar(picture, ax=axes, shrink=0.8)
    axes.plot(*toy.real.sample(SHOWN, np.random.default_rng(0)).T, ".", color="white", markersize=1)
    axes.set(xlim=(-side, side), ylim=(-side, side), xticks=[], yticks=[], title="norm of D's gradient (WGAN-GP wants 1)")


def draw_densities(axes: Axes, toy: ToyGAN) -> None:
    """The densities of the data and of the generated points, D(x), and the optimal D*(x) = p / (p + q)."""
    side, x = line_of(toy)
    fake = toy.generate(20_000)[:, 0]
    p, q = toy.real.density(x), smoothed(fake, x[:, 0])
    axes.fill_between(x[:, 0], p, color=REAL, alpha=0.2, label="p, the data")
    axes.fill_between(x[:, 0], q, color=FAKE, alpha=0.3, label="q, generated")
    axes.plot(x[:, 0], optimal(p, q), "--", color="grey", label="D* = p / (p + q)")
    axes.plot(x[:, 0], sigmoid(toy.scores(x)), color="tab:blue", label="D, as sigmoid of its score")
    points = np.sort(fake[:200])[::10, None]
    arrows = _of_length(toy.arrows(points), 0.15 * side)
    axes.quiver(
        points[:, 0],
        np.full(len(points), -0.06),
        arrows[:, 0],
        np.zeros(len(points)),
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.004,
        color=FAKE,
    )
    axes.set(xlim=(-side, side), ylim=(-0.12, 1.3), title="densities, and what D makes of them")
    axes.legend(loc="upper right", fontsize=8)


def draw_score(axes: Axes, toy: ToyGAN) -> None:
    """D's score and its slope along the line."""
    side, x = line_of(toy)
    axes.plot(x[:, 0], toy.scores(x), color="tab:blue", label="D's score")
    axes.plot(x[:, 0], toy.slopes(x), color="tab:green", label="size of its slope (WGAN-GP wants 1)")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set(xlim=(-side, side), title="D's score")
    axes.legend(loc="upper right", fontsize=8)


def optimal(p: Floats, q: Floats) -> Floats:
    """D* = p / (p + q); NaN where there is hardly anything of both."""
    return np.divide(p, p + q, out=np.full_like(p, np.nan), where=p + q > 1e-3)


def smoothed(points: Floats, x: Floats) -> Floats:
    """A density at x from samples: their histogram, smoothed by a Gaussian."""
    step = x[1] - x[0]
    counts, _ = np.histogram(points, np.append(x - step / 2, x[-1] + step / 2))
    width = max(3, round(0.06 / step))
    kernel = np.exp(-0.5 * (np.arange(-3 * width, 3 * width + 1) / width) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same") / (len(points) * step)


def pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def places_of(toy: ToyGAN, count: int = GRID) -> tuple[float, Floats]:
    """Half the side of the square that is drawn, and the points of a grid on it, (count^2, 2)."""
    side = 1.35 * float(np.abs(toy.real.centres).max())
    line = np.linspace(-side, side, count)
    return side, np.stack(np.meshgrid(line, line), axis=2).reshape(-1, 2)


def line_of(toy: ToyGAN) -> tuple[float, Floats]:
    side = 2.4 * float(np.abs(toy.real.centres).max())
    return side, np.linspace(-side, side, 400)[:, None]


def ranks(scores: Floats) -> Floats:
    """Scores from -1 to 1, by rank: their units differ from loss to loss, and grow while D trains."""
    return 2 * np.searchsorted(np.sort(scores), scores) / len(scores) - 1


def _of_length(arrows: Floats, longest: float) -> Floats:
    """Arrows scaled so that the longest has this length."""
    return arrows * (longest / max(float(np.linalg.norm(arrows, axis=1).max()), 1e-12))


def sigmoid(scores: Floats) -> Floats:
    return 0.5 + 0.5 * np.tanh(scores / 2)


def theory_sheet(checks: Sequence[theory.Check]) -> np.ndarray:
    """What divergences and gradients do as two normal distributions move apart, and the errors: uint8 (height, width, 3)."""
    figure = new_figure(12, 7, DPI)
    (upper,), (lower,) = figure.subfigures(2, 1, squeeze=False, height_ratios=(3, 2))
    left, middle, right = upper.subplots(1, 3)
    distances = np.linspace(0.1, 8, 60)
    pairs = [theory.apart(d) for d in distances]
    left.plot(distances, [theory.jsd(pair.p, pair.q) for pair in pairs], label="JSD, which ends at log 2")
    left.plot(distances, [theory.wasserstein(pair.p, pair.q) / 8 for pair in pairs], label="Wasserstein distance / 8")
    left.set(xlabel="distance of two normal distributions", title="how far apart p and q are")
    saturating, other = zip(*(theory.generator_gradients(pair) for pair in pairs), strict=True)
    middle.semilogy(distances, saturating, label="of log(1 - D): vanishes")
    middle.semilogy(distances, other, label="of -log D")
    middle.set(xlabel="distance", title="size of G's gradient at D*, mean over q", ylim=(1e-6, 20))
    pair = theory.BUMPS
    right.fill_between(theory.X, pair.p, color=REAL, alpha=0.2, label="p")
    right.fill_between(theory.X, pair.q, color=FAKE, alpha=0.3, label="q")
    scores = theory.optimum(pair, theory.LOSSES["gan"])
    right.plot(theory.X, sigmoid(scores), color="tab:blue", linewidth=3, alpha=0.6, label="D, trained")
    right.plot(theory.X, theory.ratio(pair.p, pair.q), "--", color="black", linewidth=1, label="D* = p / (p + q)")
    right.set(title="the optimal D", ylim=(0, 1.05), xlim=(-6, 6))
    for axes in (left, middle, right):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    draw_errors(lower.subplots(), checks)
    return pixels(figure)


def draw_errors(axes: Axes, checks: Sequence[theory.Check]) -> None:
    """The error of each check, a row a kind."""
    kinds = list(dict.fromkeys(check.kind for check in checks))
    rows = [kinds.index(check.kind) for check in checks]
    axes.semilogx([max(check.error, 1e-5) for check in checks], rows, "o", alpha=0.6)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axes.set(title="error of each check (at the left edge: 0.00001 or less)", ylim=(len(kinds) - 0.5, -0.5))
    axes.grid(alpha=0.3)
