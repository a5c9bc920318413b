"""Cost against size: the same step with more images, and with larger ones, by this engine and by the tuned twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.process import WorkerError
from benchmarks.settings import Settings
from benchmarks.steps import sides_of, time_in_turn

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


def time_sizes(title: str, points: list[tuple[int, Case]], settings: Settings) -> list[dict[str, Any]]:
    """Seconds a step by size, the least of some turns; each point takes some seconds, and the start of both sides."""
    quickly = replace(settings, variants=("tuned",), seconds=min(SECONDS, settings.seconds), rounds=2, replayed=1)
    rows = []
    for size, case in points:
        row: dict[str, Any] = {"series": title, "size": size}
        try:
            with sides_of(case, quickly) as (sides, missing):
                if missing:
                    row["missing"] = "; ".join(missing.values())
                else:
                    row |= {side: min(times) for side, times in time_in_turn(sides, quickly)["seconds"].items()}
        except WorkerError as error:  # out of memory, most likely
            row["missing"] = str(error)
        rows.append(row)
    return rows
