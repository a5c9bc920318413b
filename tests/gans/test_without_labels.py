"""Trainers that need labels only for their report say when they load the data that there are none, and train."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gans import bigan, infogan
from gans.training.latent import LatentTrainer


@pytest.mark.parametrize(
    ("trainer_class", "missing"),
    [
        (infogan.InfoGAN, "t10k-images-idx3-ubyte"),
        (infogan.InfoGAN, "t10k-labels-idx1-ubyte"),
        (bigan.BiGAN, "train-labels-idx1-ubyte"),
        (bigan.BiGAN, "t10k-labels-idx1-ubyte"),
    ],
)
def test_missing_labels_are_a_sentence_when_the_data_are_loaded_and_in_the_report(
    trainer_class: type[LatentTrainer], missing: str, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(labelled, tmp_path / "digits"))
    trainer = trainer_class(trainer_class.config_class(backend="numpy", data=str(folder), batch_size=8))
    trainer.load_batches()
    assert capsys.readouterr().err == ""
    (folder / missing).unlink()
    trainer.load_batches()
    sentence = capsys.readouterr().err
    assert re.match(rf"The \w+ cannot be compared .*: {re.escape(str(folder))} has no {missing} or ", sentence)
    assert sentence == trainer.report()
