"""The time of a step of several ranks: what one exchanges is counted, the rest is a model."""

from __future__ import annotations

import pytest

from benchmarks import scaling
from benchmarks.scaling import Cost, limits, predicted
from minigrad import parallel


def test_the_model_is_that_of_a_ring() -> None:
    cost = Cost(seconds=8.0, exchanges=3, bytes=4_000_000)
    assert predicted(cost, 1, latency=1.0, bandwidth=1.0) == 8.0
    assert predicted(cost, 4, latency=0.0, bandwidth=float("inf")) == 2.0
    assert predicted(cost, 4, latency=0.0, bandwidth=1e6) == pytest.approx(2.0 + 6.0)  # 6 rounds of a quarter of 4 MB
    assert predicted(cost, 4, latency=0.1, bandwidth=float("inf")) == pytest.approx(
        2.0 + 6 * 4 * 0.1
    )  # and the loop's own exchange


def test_ranks_are_limited_by_the_network_and_by_the_batch() -> None:
    # on a network of 1 MB/s, two ranks compute half a second and wait one
    cost = Cost(seconds=1.0, exchanges=0, bytes=1_000_000)
    assert limits(cost, 64, latency=0.0, bandwidth=1e6) == (1, 1)
    assert limits(cost, 20, latency=0.0, bandwidth=1e12) == (16, 16)


def test_a_step_is_timed_and_its_exchanges_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel, "start", lambda: None)  # without MPI
    monkeypatch.setattr("sys.argv", ["scaling", "mnist_gan"])
    monkeypatch.setattr(scaling, "SECONDS", 0.0)
    scaling.main()
    name, batch, _, exchanges, megabytes, *_ = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert (name, batch) == ("mnist_gan", "128")
    weights, images = 560_145, 128 * 784
    outputs = 256 + 128  # logits of real and generated images; of generated ones
    assert (exchanges, megabytes) == ("5", f"{4 * (weights + images + outputs) / 1e6:.2f}")


def test_an_unknown_case_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        scaling.main(["nogan"])
    assert end.value.code == 2
    assert "invalid choice: 'nogan'" in capsys.readouterr().err
