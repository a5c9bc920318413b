"""Cost against size: the same step with larger batches and with larger images, by this engine and by the tuned twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.measure.process import WorkerError
from benchmarks.measure.steps import sides_of, time_in_turn
from benchmarks.settings import OURS, Settings

BATCHES = {"mnist_gan": (16, 64, 256, 1024), "dcgan_28": (32, 64, 128), "dcgan_64": (8, 16, 32)}
SECONDS = 3.0  # of timing for each size
IMAGES = (32, 64, 128)  # height and width for DCGAN


def series() -> dict[str, list[tuple[int, Case]]]:
    """Title of a plot -> sizes, each with its case."""
    by_batch = {
        f"{name}: batch size": [(n, replace(CASES[name], batch_size=n)) for n in sizes] for name, sizes in BATCHES.items()
    }
    dcgan = CASES["dcgan_64"]
    by_image = [(side, replace(dcgan, network={**dcgan.network, "image_size": side})) for side in IMAGES]
    return {**by_batch, f"dcgan, batch {dcgan.batch_size}: image size": by_image}


def time_size(title: str, size: int, case: Case, settings: Settings) -> dict[str, Any]:
    """A row: minimal seconds of a step by each side, or why there are none. Takes some seconds."""
    brief = replace(settings, seconds=min(SECONDS, settings.seconds), rounds=2, compared=1)
    row: dict[str, Any] = {"series": title, "size": size}
    try:
        with sides_of(case, brief, (OURS, "tuned")) as (sides, missing):
            if missing:
                return row | {"missing": "; ".join(missing.values())}
            return row | {side: min(times) for side, times in time_in_turn(sides, brief)["seconds"].items()}
    except WorkerError as error:  # most likely out of memory
        return row | {"missing": str(error)}
