"""Errors go from one process to another, which pickles them: between ranks, and from the processes that read images."""

from __future__ import annotations

import pickle

import pytest

import minigrad as mg
from gans.command import Stopped
from gans.data.download import DownloadError
from gans.training.loop import TrainingError
from minigrad.optim import BadGradient

ERRORS = [
    DownloadError("digits", {"http://a": "gone"}),
    Stopped(15),
    BadGradient("the gradient of parameter 0 is bad", mg.Tensor([1.0])),
    TrainingError("step 1"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: BaseException) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy).keys() == vars(error).keys()


def test_no_other_error_of_ours_takes_special_arguments() -> None:
    """An exception with an `__init__` needs a `__reduce__`, and a row above."""

    def below(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours = {kind for kind in below(BaseException) if kind.__module__.startswith(("gans.", "minigrad."))}
    assert {kind for kind in ours if "__init__" in vars(kind)} <= {type(error) for error in ERRORS}
