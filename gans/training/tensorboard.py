"""Event files for TensorBoard: the rows of metrics.csv, once more. Needs tensorboardX, for the format of the events.

Each process that trains a run writes a file. When a run is resumed, TensorBoard discards the events of later steps.
"""

from __future__ import annotations

import importlib.util
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gans.training.config import ConfigError
from minigrad.io import files

NAME = "events.out.tfevents."  # by which TensorBoard finds the files; then the time, by which it sorts them


class EventFile:
    """A new event file in a folder. ConfigError without tensorboardX, FileError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise ConfigError("--tensorboard needs tensorboardX: pip install tensorboardX")
        self.path = folder / f"{NAME}{int(time.time()):010d}.minigrad"

    def begin(self, step: int) -> None:
        """Start the file with the steps after `step`."""
        from tensorboardX.proto.event_pb2 import SessionLog

        files.make_folder(self.path.parent)
        self._append(session_log=SessionLog(status=SessionLog.START), step=step + 1)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Append the metrics of a step."""
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._append(summary=Summary(value=scalars), step=step)

    def _append(self, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        now = time.time()
        heading = record(Event(wall_time=now, file_version="brain.Event:2"))
        files.append(self.path, record(Event(wall_time=now, **content)), heading)


def record(event: Any) -> bytes:
    """An event in the form of the file: its length, its bytes, and a checksum of each (TensorFlow's TFRecord format)."""
    from tensorboardX.record_writer import masked_crc32c

    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc32c(length)) + content + struct.pack("<I", masked_crc32c(content))
