"""The exercises: the engine's answers are those derived by hand, and wrong ones are refused."""

import pytest

from gans.explain.exercises import EXERCISES, main
from tests.gans.conftest import run_here

BY_HAND = ("-0.5", "148.4", "7", "0.38", "2", "0", "0.bias 2.bias", "2.bias", "16, 4.8, 6.4", "Sum Mul Tanh Mul")
WRONG = ("0.5", "5", "4", "2", "3", "1", "2.bias", "none", "16, 3, 4", "Mul Tanh Mul Sum")


@pytest.mark.parametrize("i", range(10))
def test_an_exercise_accepts_the_answer_derived_by_hand_and_no_wrong_one(i):
    assert EXERCISES[i].accepts(BY_HAND[i])
    assert not EXERCISES[i].accepts(WRONG[i])
    assert not EXERCISES[i].accepts(BY_HAND[i] + " 1") and not EXERCISES[i].accepts("")


def test_the_command_asks_and_judges():
    assert run_here(main, ()).out.count("\n") == 10
    assert run_here(main, ("3",)).out.startswith("y = x * x")
    assert run_here(main, ("3", "--answer", "7")).out.startswith("Right. Mul uses x twice")
    assert run_here(main, ("1", "--answer=0.5")).out.startswith("Not yet.")
    assert run_here(main, ("--answer", "7")).code == 2
