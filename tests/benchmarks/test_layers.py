"""Single kernels: PyTorch's function computes what our kernel computes, and a call is named after its layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks.cases import CASES, Case
from benchmarks.measure import layers
from benchmarks.measure.watch import Call, count_calls, explain, layer_names, make, watching
from benchmarks.settings import Settings
from minigrad.arrays.backend import kernels_named

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SETTINGS = Settings(threads=1)
SMALL = [replace(CASES["dcgan_28"], batch_size=2), replace(CASES["wgan_gp_conv"], batch_size=2)]
SMALL += [Case("cyclegan", 1, {"image_size": 64, "width": 4}), Case("dcgan", 2, {"arch": "k4", "image_size": 64})]


def calls_of(case: Case) -> list[Call]:
    trainer = case.trainer()
    batch = [mg.Tensor(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)) for shape in trainer.batch_shapes]
    with watching(kernels_named("numpy")) as calls:
        trainer.step(*batch)
    return [call for call, _ in count_calls(calls) if call["kernel"] in layers.TIMED]


def results(side: layers.Kernels, call: Call) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found: Any = side.action_of(call["kernel"], [side.to_device(make(x, rng)) for x in call["arguments"]])()
    return [np.asarray(a) for a in (found if isinstance(found, tuple) else [found])]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.module)
def test_pytorchs_function_computes_what_our_kernel_computes(case: Case) -> None:
    calls = calls_of(case)
    assert calls
    for call in calls:
        if call["kernel"] in ("adam", "rmsprop"):  # they update their arguments; the tests of the twins compare them
            continue
        ours, theirs = (results(side(SETTINGS), call)[0] for side in (layers.Ours, layers.Theirs))
        if call["kernel"] in ("normalize", "normalize_backward"):  # PyTorch returns an image
            theirs = theirs.reshape(len(ours), -1, ours.shape[1]).transpose(0, 2, 1)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max(), err_msg=str(call))


def test_optimizers_are_timed() -> None:
    (call,) = [call for call in calls_of(Case("mnist_gan", 2)) if call["kernel"] == "adam"][:1]
    for side in (layers.Ours(SETTINGS), layers.Theirs(SETTINGS)):
        side.prepare(call)
        assert side.time() > 0


def test_calls_are_named_after_their_layer_and_task() -> None:
    case = SMALL[0]
    names = layer_names(case.trainer())
    rows = [explain(call, names) for call in calls_of(case)]
    tasks = {(row["layer"], row["kernel"], row["task"]) for row in rows}
    assert ("discriminator.3 Conv2d", "conv2d", "forward") in tasks
    assert ("discriminator.3 Conv2d", "conv_transpose2d", "input gradient") in tasks
    assert ("discriminator.3 Conv2d", "conv2d_weight", "weight gradient") in tasks
    assert ("generator.7 ConvTranspose2d", "conv_transpose2d", "forward") in tasks
    assert ("generator.7 ConvTranspose2d", "conv2d", "input gradient") in tasks
    assert ("generator.3 Linear", "matmul", "weight gradient") in tasks
    assert ("discriminator.9 Linear", "matmul", "input gradient") in tasks
    (adam,) = [row for row in rows if row["kernel"] == "adam" and row["shapes"] == "1102721"]
    assert adam["flops"] == 0
