"""Files of a run as a stranger might have changed them: each function draws a changed file from a random generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.io.safetensors import CHECKSUM, load_with_metadata

Draw = random.Random

STRINGS = ["", "x", "x" * 5000, "\ud800", "a\0b", "\x1b[2Ja", "a\nb", "$\\frac$", "../..", "ü", "1", "nan", "null", "cupy"]
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 3, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), [], {}, [1], {"a": 1}, *STRINGS,
]  # fmt: skip
RAW = [b"9" * 5000, b"[" * 50_000, b'{"a":' * 50_000, b"-", b"1e999", b'"\\ud800"', b"tru", b"\xff\xfe", b"\xef\xbb\xbf{}"]


def spoil_bytes(draw: Draw, content: bytes) -> bytes:
    """Bits flipped, a piece cut out, repeated, zeroed or exchanged for noise, or the file shortened."""
    kind = draw.randrange(7)
    start = draw.randrange(len(content))
    end = min(len(content), start + draw.choice([1, 2, 8, 100, 10**6]))
    if kind == 0:
        changed = bytearray(content)
        for _ in range(draw.choice([1, 1, 1, 10])):
            changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    pieces = [b"", content[start:end] * 2, bytes(end - start), draw.randbytes(end - start), draw.choice(RAW)]
    return content[:start] if kind == 6 else content[:start] + pieces[kind - 1] + content[end:]


def spoil_config(draw: Draw, path: Path) -> None:
    """Another value or name somewhere, a name twice, or a name less."""
    settings = json.loads(path.read_bytes())
    where = draw.choice([settings, settings["config"], settings["config"], settings["data"]])
    name = draw.choice(list(where))
    kind = draw.randrange(5)
    if kind == 0:
        del where[name]
    elif kind == 1:
        where[draw.choice(STRINGS)] = where.pop(name)
    else:
        where[name] = draw.choice(VALUES)
    text = json.dumps(settings, indent=2).encode()
    if kind == 2:
        text = text.replace(b'"' + name.encode() + b'":', b'"' + name.encode() + b'": ' + draw.choice(RAW) + b', "x":', 1)
    if kind == 3:
        text = text.decode().encode(draw.choice(["utf-16", "utf-32", "utf-8-sig", "cp500"]))
    path.write_bytes(text)


def spoil_array(draw: Draw, a: np.ndarray) -> np.ndarray:
    """Another dtype or shape, or another number somewhere."""
    kind = draw.randrange(4)
    if kind == 0:
        return a.astype(draw.choice([np.float64, np.float32, np.float16, np.int64, np.int8, np.uint64, np.bool_]))
    if kind == 1:
        return draw.choice([a[None], a.reshape(-1), a.reshape(-1)[:-1], np.zeros(3), np.zeros((0, 5)), np.array(7)])
    changed = a.copy()
    values = [np.nan, np.inf, -np.inf, -1e30, 1e30] if a.dtype.kind == "f" else [-1, 2**63 - 1, -(2**63), 10**6]
    changed.reshape(-1)[draw.randrange(max(1, a.size)) : draw.choice([a.size, a.size + 1])] = draw.choice(values)
    return changed


def spoil_arrays(draw: Draw, path: Path) -> None:
    """An array more, less, changed or renamed, or other metadata, with the right checksum or with none."""
    arrays, metadata = load_with_metadata(path)
    name = draw.choice(sorted(arrays))
    kind = draw.randrange(6)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[draw.choice(["pending.00.x", "pending", "pending.0", "a\nb", "", "x" * 3000, "g_optimizer.skipped"])] = arrays[
            name
        ]
    elif kind == 2:
        metadata["step"] = draw.choice(["9" * 5000, "-1", "", "١٢", str(2**63), "1e3", "0", "7", "1000000", " 16", "\0"])
    else:
        arrays[name] = spoil_array(draw, arrays[name])
    mg.save(path, arrays, metadata)
    if draw.random() < 0.3:
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        header["__metadata__"].pop(CHECKSUM)
        header["__metadata__"] = draw.choice([header["__metadata__"], None, {}, [], 3, {"step": 3}, {"step": None}])
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def spoil_metrics(draw: Draw, path: Path) -> None:
    """Another field somewhere, a row twice, a row more or less."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    number = draw.randrange(len(rows))
    kind = draw.randrange(4)
    if kind == 0:
        rows.insert(number, rows[draw.randrange(len(rows))])
    elif kind == 1:
        del rows[number]
    elif kind == 2:
        rows[number] = rows[number][: draw.randrange(len(rows[number]))] or ["10"] * draw.choice([1, 60, 5000])
    else:
        value = draw.choice([*STRINGS, "1e39", "-1e39", "inf", "1_0", "0x10", "9" * 5000, '"', "#", "-10", "10.5", "1e400"])
        rows[number][draw.randrange(len(rows[number]))] = value
    path.write_bytes("\r\n".join(map(",".join, [*rows, [""]])).encode("utf-8", "surrogatepass"))


SPOIL: dict[str, Callable[[Draw, Path], None]] = {
    "config.json": spoil_config,
    "checkpoint.safetensors": spoil_arrays,
    "generator.safetensors": spoil_arrays,
    "metrics.csv": spoil_metrics,
}


def mutate(seed: int, folder: Path) -> str:
    """Change one file of a run. Returns its name."""
    draw = Draw(seed)
    name = draw.choice(list(SPOIL))
    if draw.random() < 0.3:
        (folder / name).write_bytes(spoil_bytes(draw, (folder / name).read_bytes()))
    else:
        SPOIL[name](draw, folder / name)
    return name
