"""Files from strangers: whatever is in them, the readers give a result or one sentence, soon and with little memory."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import socket
import struct
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from gans.data.errors import DataError
from gans.data.idx import read_idx
from gans.data.image_files import FORMATS, pillow_warnings_ignored, read_image, why_unreadable

SECONDS, MEGABYTES = 5, 500
NUMBERS = (0, 1, 127, 255, 256, 65_535, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)


def idx() -> bytes:
    return struct.pack(">HBB3I", 0, 8, 3, 20, 28, 28) + np.random.default_rng(0).bytes(20 * 28 * 28)


def encoded(name: str, mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 4), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, name, **options)
    return stream.getvalue()


def seeds() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {"idx": idx(), "idx.gz": gzip.compress(idx(), mtime=0)}
    files |= {name: encoded(name) for name in FORMATS if name not in ("WEBP", "AVIF") or features.check(name.lower())}
    files["PNG with exif"] = encoded("PNG", "RGBA", exif=exif)
    files["PNG with a palette"] = encoded("PNG", "P", transparency=3)
    files["JPEG progressive"] = encoded("JPEG", "RGB", progressive=True, exif=exif)
    files["JPEG CMYK"] = encoded("JPEG", "CMYK")
    files["TIFF lzw"] = encoded("TIFF", "RGBA", compression="tiff_lzw")
    files["TIFF jpeg"] = encoded("TIFF", "YCbCr", compression="jpeg")
    return files


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Up to four bits, numbers or blocks of `content` changed, removed, repeated or inserted, mostly near its start."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(1, len(data) if rng.random() < 0.4 else min(len(data), 100)))
        size = rng.choice((1, 2, 4, 8, rng.randint(1, 200)))
        block = bytes(data[at : at + size])
        changes = (
            bytes(byte ^ 1 << rng.randrange(8) for byte in block),
            rng.randbytes(len(block)),
            rng.choice(NUMBERS).to_bytes(4, rng.choice(("big", "little")))[-len(block) :],
            b"",
            block * rng.randint(2, 50),
            block + rng.randbytes(size),
        )
        data[at : at + size] = rng.choice(changes)
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


def mutated(kind: str, content: bytes, rng: random.Random) -> bytes:
    """A mutation. Half of those of formats with checksums get right ones, so that readers go deeper."""
    if kind == "idx.gz" and rng.random() < 0.5:
        return gzip.compress(mutate(idx(), rng), 1, mtime=0)
    content = mutate(content, rng)
    return with_right_checksums(content) if kind.startswith("PNG") and rng.random() < 0.5 else content


def with_right_checksums(png: bytes) -> bytes:
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(data)


def outcome(kind: str, path: Path) -> str:
    """What reading gives: "a result", or the sentence."""
    if kind.startswith("idx"):
        try:
            assert isinstance(read_idx(path), np.ndarray)
        except DataError as error:
            message = str(error)
            assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
            return message
        return "a result"
    try:
        pixels = read_image(path, lambda image: image.resize((8, 8)), min_side=16)
    except Exception as error:
        reason = why_unreadable(error)
        assert reason and "\n" not in reason
        return reason
    assert pixels.shape == (3, 8, 8) and pixels.dtype == np.uint8
    return "a result"


def attack(path: Path, cases: int, seed: int) -> Counter[tuple[str, str]]:
    """Read `cases` mutations of every kind of file; count the kinds and whether there was a result."""
    rng, counts, files = random.Random(seed), Counter(), seeds()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pillow_warnings_ignored():
        for i in range(cases):
            kind = list(files)[i % len(files)]
            path.write_bytes(mutated(kind, files[kind], rng))
            begin = time.thread_time()
            found = outcome(kind, path)
            assert time.thread_time() - begin < SECONDS, (kind, i)
            counts[kind, "a result" if found == "a result" else "a sentence"] += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
    return counts


def test_files_that_are_not_mutated_are_read(tmp_path: Path) -> None:
    for kind, content in seeds().items():
        (tmp_path / "a").write_bytes(content)
        assert outcome(kind, tmp_path / "a") == "a result", kind


def test_mutated_files_give_a_result_or_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    counts = attack(tmp_path / "a", 600, seed=0)
    assert {result for _, result in counts} == {"a result", "a sentence"}
    assert capfd.readouterr() == ("", ""), "libraries say nothing of their own"


@pytest.mark.fuzz
def test_many_mutated_files_give_a_result_or_one_sentence(tmp_path: Path) -> None:
    counts = attack(tmp_path / "a", 10_000, seed=1)
    for key, count in sorted(counts.items()):
        print(*key, count)
    assert {result for _, result in counts} == {"a result", "a sentence"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
@pytest.mark.parametrize("kind", ["idx", "PNG"])
def test_what_is_not_a_regular_file_is_named_and_never_opened(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder.png").mkdir()
    for link, target in (("zero", "/dev/zero"), ("broken", "nowhere"), ("loop", "loop"), ("terminal", "/dev/tty")):
        (tmp_path / link).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        bound.bind("socket")
        found = {path.name: outcome(kind, path) for path in sorted(tmp_path.iterdir())}
    parts = dict.fromkeys(("fifo", "folder.png", "socket", "terminal", "zero"), "not a regular file")
    parts |= {"broken": "No such file", "loop": "Too many levels of symbolic links"}
    if kind == "idx":
        parts |= {"folder.png": "is a folder", "broken": "does not exist"}
    assert found.keys() == parts.keys()
    assert all(part in found[name] for name, part in parts.items())
