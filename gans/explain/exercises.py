"""Ten questions on backprop through a GAN. The engine computes the answers.

    python -m gans.explain.exercises                 the questions
    python -m gans.explain.exercises 3               one of them
    python -m gans.explain.exercises 3 --answer 7    whether that is right, and why

Everything that is needed is in `minigrad/tiny.py`, in the trainers, and on the pages of `python -m gans.explain`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.functional as F
from gans.command import running
from gans.losses import bce
from gans.training.config import OneLineParser
from gans.wgan_gp import gradient_penalty
from minigrad import nn
from minigrad.modes import Observer, observing

PROG = "python -m gans.explain.exercises"


@dataclass(frozen=True)
class Exercise:
    """A question, how the engine answers it, and why that is so. An answer is one or several words or numbers."""

    question: str
    solve: Callable[[], Sequence[str | float]]
    why: str

    def accepts(self, answer: str) -> bool:
        """Whether each part of the answer is the word that was expected, or its number within 1 %."""
        parts, expected = answer.replace(",", " ").split(), self.solve()
        return len(parts) == len(expected) and all(map(_is, parts, expected))


def _is(part: str, expected: str | float) -> bool:
    if isinstance(expected, str):
        return part.lower() == expected.lower()
    try:
        return math.isclose(float(part), expected, rel_tol=0.01, abs_tol=1e-6)
    except ValueError:
        return False


def _leaf(*values: float) -> mg.Tensor:
    return mg.Tensor(np.array(values), requires_grad=True)


def _slope(f: Callable[[mg.Tensor], mg.Tensor], *x: float) -> list[float]:
    """The gradient of f at x."""
    point = _leaf(*x)
    return mg.grad(f(point), [point])[0].numpy().tolist()


def _networks() -> tuple[nn.Module, nn.Module, mg.Tensor]:
    """A generator, a discriminator, and latent vectors."""
    mg.manual_seed(0)
    G = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh())
    return G, nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1)), mg.randn((6, 3))


def _largest(gradients: Sequence[Any]) -> float:
    return max(float(abs(g).max()) for g in gradients)


def _vanishing_ratio() -> list[float]:
    saturating = _slope(lambda a: -bce(a, real=False), -5.0)  # descend log(1 - D)
    return [_slope(lambda a: bce(a, real=True), -5.0)[0] / saturating[0]]


def _line_without_detach() -> list[str]:
    def left_in_generator(detached: bool) -> float:
        G, D, z = _networks()
        fake = G(z)
        bce(D(fake.detach() if detached else fake), real=False).backward()
        return 0.0 if G.parameters()[0].grad is None else _largest([p.grad for p in G.parameters()])

    return ["2" if left_in_generator(False) > 0 == left_in_generator(True) else "none"]


def _after_no_grad() -> list[float]:
    G, D, z = _networks()
    with mg.no_grad():
        fake = G(z)
    return [_largest([g.numpy() for g in mg.grad(bce(D(fake), real=True), G.parameters())])]


def _without_penalty_gradient(activation: nn.Module) -> list[str]:
    """The parameters of a critic that the gradient penalty does not change."""
    mg.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), activation, nn.Linear(8, 1))
    gradients = mg.grad(gradient_penalty(critic, mg.randn((5, 4))), critic.parameters())
    return [name for (name, _), g in zip(critic.named_parameters(), gradients, strict=True) if not g.numpy().any()]


def _penalty_of_a_line() -> list[float]:
    critic = nn.Linear(2, 1)
    critic.weight.assign(np.array([[3.0, 4.0]], np.float32))
    penalty = gradient_penalty(critic, mg.randn((1, 2)))
    return [penalty.item(), *mg.grad(penalty, [critic.weight])[0].numpy().ravel().tolist()]


def _order_of_the_walk() -> list[str]:
    class Order(Observer):
        names: list[str] = []

        def sent(self, op: Any, i: int, *_: Any) -> None:
            self.names += [op.name] if i == 0 else []

    x, w = _leaf(1.0), _leaf(2.0)
    y = F.tanh(x * w)
    loss = (y * y).sum()
    with observing(order := Order()):
        mg.grad(loss, [x])
    return order.names


EXERCISES = (
    Exercise(
        "D's logit for one fake image is a = 0. G descends -log sigmoid(a). What is the loss's gradient with respect to a?",
        lambda: _slope(lambda a: bce(a, real=True), 0.0),
        "d(-log sigmoid(a))/da = sigmoid(a) - 1 = -1/2: G should raise the logit.",
    ),
    Exercise(
        "D is sure of itself: a = -5. How many times as large as with the minimax loss, log(1 - sigmoid(a)), is the gradient "
        "with respect to a with -log sigmoid(a)? (See gans/mnist_gan.py.)",
        _vanishing_ratio,
        "The gradients are sigmoid(a) - 1 and -sigmoid(a). Their ratio is e^(-a) = e^5 = 148.4.",
    ),
    Exercise(
        "y = x * x + 3 * x at x = 2. Three contributions meet at x, and the walk sums them. What is the sum?",
        lambda: _slope(lambda x: x * x + 3 * x, 2.0),
        "Mul uses x twice: it sends 2 for each input, and 3 * x sends 3.",
    ),
    Exercise(
        "Tanh gave out = 0.9, and the cotangent of its output is 2. What is the cotangent of its input?",
        lambda: [2 * _slope(F.tanh, math.atanh(0.9))[0]],
        "g (1 - out^2) = 2 (1 - 0.81) = 0.38. G's last Tanh passes little on where a pixel is almost black or white.",
    ),
    Exercise(
        "Which line lacks a detach?    1: fake = G(z)    2: bce(D(fake), real=False).backward(); D's optimizer steps    "
        "3: bce(D(fake), real=True).backward(); G's optimizer steps",
        _line_without_detach,
        "backward() fills .grad of every leaf. Line 2 leaves gradients in G that push it to help D, and line 3 adds to them. "
        "(The trainers ask for D's gradients only, by mg.grad; there detach only shortens the walk's search.)",
    ),
    Exercise(
        "fake = G(z) is computed under no_grad. What is the norm of mg.grad(bce(D(fake), real=True), G.parameters())?",
        _after_no_grad,
        "The output depends on D's parameters, so there is a walk, but no path leads to G: its gradients are zero.",
    ),
    Exercise(
        "A critic Linear (0), LeakyReLU (1), Linear (2) has a gradient penalty P. Which parameters get no gradient from P?",
        lambda: _without_penalty_gradient(nn.LeakyReLU(0.2)),
        "dP/db = 0 for 0.bias: b reaches the slopes only through phi'(h), a step function, whose derivative is 0. And 2.bias "
        "is in no slope. On the page of wgan_gp, see the table of the second-order graph.",
    ),
    Exercise(
        "The same critic, with Tanh (1) in place of LeakyReLU. Which parameters get no gradient from P now?",
        lambda: _without_penalty_gradient(nn.Tanh()),
        "phi' of Tanh depends on h and so on 0.bias. The last bias only shifts the scores: dP/dc = 0.",
    ),
    Exercise(
        "f(x) = w x with w = (3, 4), and P = (|df/dx| - 1)^2. Give P and the two elements of dP/dw.",
        _penalty_of_a_line,
        "The slope is w itself: r = 5, P = 16, dP/dw = 2 (r - 1) w / r = 8 (0.6, 0.8).",
    ),
    Exercise(
        "L = (y * y).sum() with y = tanh(x * w). In which order does the walk back visit the ops? Give their names.",
        _order_of_the_walk,
        "From the newest to the oldest: all consumers of an op come before it, so its cotangent is complete.",
    ),
)


@running(PROG)
def main(argv: Sequence[str] | None = None) -> None:
    parser = OneLineParser(
        PROG, description="Questions on backprop through a GAN, whose answers are checked.", allow_abbrev=False
    )
    parser.add_argument("number", type=int, nargs="?", choices=range(1, len(EXERCISES) + 1), metavar="N", help="one question")
    parser.add_argument(
        "--answer", metavar="TEXT", help="words or numbers; a negative one as --answer=-1", default=argparse.SUPPRESS
    )
    arguments = parser.parse_args(argv)
    if arguments.number is None:
        if "answer" in arguments:
            parser.error("--answer needs the number of a question")
        print("\n".join(f"{i}. {exercise.question}" for i, exercise in enumerate(EXERCISES, 1)))
        return
    exercise = EXERCISES[arguments.number - 1]
    if "answer" not in arguments:
        print(exercise.question)
    elif exercise.accepts(arguments.answer):
        print(f"Right. {exercise.why}")
    else:
        print("Not yet. Look again, or compute it with a few lines of minigrad.")


if __name__ == "__main__":
    main()
