"""Every format in every mode has known pixels; large images are refused before they cost memory."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from gans.data import image_files as module
from gans.data.errors import DataError
from gans.data.image_files import FORMATS, find_images, read_image, why_unreadable

COLOUR, ON_WHITE = (200, 100, 50), (244, 224, 214)  # the second is the first at an alpha of one fifth
SIZE = (6, 5)


def read(path: Path) -> np.ndarray:
    return read_image(path, lambda image: image)


def colour_of(path: Path) -> tuple[int, ...]:
    """The colour of an image of one colour."""
    array = read(path)
    assert array.shape == (3, 5, 6) and (array == array[:, :1, :1]).all()
    return tuple(int(value) for value in array[:, 0, 0])


def reason(path: Path) -> str:
    with pytest.raises(Exception) as caught:
        read(path)
    return why_unreadable(caught.value)


# --- all formats and modes that Pillow can write without changing the values

IMAGES = {
    "1": (lambda: Image.new("1", SIZE, 1), (255, 255, 255)),
    "L": (lambda: Image.new("L", SIZE, 77), (77, 77, 77)),
    "LA": (lambda: Image.new("LA", SIZE, (77, 51)), (219, 219, 219)),
    "P": (lambda: Image.new("RGB", SIZE, COLOUR).quantize(4), COLOUR),
    "PA": (lambda: Image.new("RGBA", SIZE, (*COLOUR, 51)).convert("PA"), ON_WHITE),
    "RGB": (lambda: Image.new("RGB", SIZE, COLOUR), COLOUR),
    "RGBA": (lambda: Image.new("RGBA", SIZE, (*COLOUR, 51)), ON_WHITE),
    "RGBX": (lambda: Image.new("RGBX", SIZE, (*COLOUR, 9)), COLOUR),
    "CMYK": (lambda: Image.new("CMYK", SIZE, (55, 155, 205, 0)), COLOUR),
    "YCbCr": (lambda: Image.new("RGB", SIZE, COLOUR).convert("YCbCr"), COLOUR),
    "LAB": (lambda: Image.new("RGB", SIZE, COLOUR).convert("LAB"), COLOUR),
    "I;16": (lambda: Image.new("I;16", SIZE, 0x4D80), (77, 77, 77)),
    "I;16B": (lambda: Image.new("I;16B", SIZE, 0x4D80), (77, 77, 77)),
    "I": (lambda: Image.new("I", SIZE, 0x4D80), None),  # None: its range is unknown
    "F": (lambda: Image.new("F", SIZE, 77.0), None),
}
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"),
    "JPEG": ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr"),
    "WEBP": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"),
    "AVIF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"),
    "PPM": ("1", "L", "RGB", "I;16", "F"),
}
OPTIONS: dict[str, dict[str, object]] = {
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 100, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
CASES = [(name, mode) for name, modes in MODES.items() for mode in modes]


def test_the_table_has_every_format() -> None:
    assert MODES.keys() == FORMATS.keys()


@pytest.mark.parametrize(("name", "mode"), CASES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_format_and_mode_becomes_rgb_on_white_or_a_reason(tmp_path: Path, name: str, mode: str) -> None:
    if name in ("WEBP", "AVIF") and not features.check(name.lower()):
        pytest.skip(f"this Pillow has no {name}")
    make, expected = IMAGES[mode]
    path = tmp_path / f"a{FORMATS[name][-1]}"
    make().save(path, name, **OPTIONS.get(name, {}))
    if expected is None:
        assert reason(path) == "signed or 32-bit pixels, whose range is unknown"
    else:
        np.testing.assert_allclose(colour_of(path), expected, atol=2)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    depth: int, colour_type: int, row: bytes, *, before: bytes = b"", after: bytes = b"", size: tuple[int, int] = SIZE
) -> bytes:
    """A PNG file whose rows are all `row`, with other chunks before and after the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    compressor = zlib.compressobj(9)
    pixels = b"".join(compressor.compress(b"\0" + row) for _ in range(size[1])) + compressor.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "colour", "expected"),
    [
        (1, 0, b"\0", (0,), (0, 0, 0)),
        (2, 0, b"\x55\x50", (1,), (85, 85, 85)),
        (4, 0, b"\x55" * 3, (5,), (85, 85, 85)),
        (8, 0, b"\x4d" * 6, (77,), (77, 77, 77)),
        (16, 0, b"\x4d\x80" * 6, (0x4D80,), (77, 77, 77)),
        (8, 2, bytes(COLOUR) * 6, COLOUR, COLOUR),
        (16, 2, b"\xc8\x01\x64\x02\x32\x03" * 6, (0xC801, 0x6402, 0x3203), COLOUR),
        (16, 2, b"\0\5\0\5\0\5" * 6, (5, 5, 5), (0, 0, 0)),
    ],
)
def test_a_colour_declared_transparent_becomes_white_at_every_depth(
    tmp_path: Path,
    depth: int,
    colour_type: int,
    row: bytes,
    colour: tuple[int, ...],
    expected: tuple[int, ...],
    transparent: bool,
) -> None:
    other = 0xF000 if depth == 16 else 3 if depth > 1 else 1
    declared = colour if transparent else (other,) * len(colour)
    path = tmp_path / "a.png"
    path.write_bytes(png(depth, colour_type, row, before=chunk(b"tRNS", struct.pack(f">{len(colour)}H", *declared))))
    assert colour_of(path) == ((255, 255, 255) if transparent else expected)


@pytest.mark.parametrize(
    ("colour_type", "row", "expected"),
    [(4, b"\x4d\x80\x33\x33" * 6, (219, 219, 219)), (6, b"\xc8\x00\x64\x00\x32\x00\x33\x33" * 6, ON_WHITE)],
)
def test_sixteen_bits_with_an_alpha_channel_are_put_on_white(
    tmp_path: Path, colour_type: int, row: bytes, expected: tuple[int, ...]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(16, colour_type, row))
    np.testing.assert_allclose(colour_of(path), expected, atol=1)


def tiff(bits: tuple[int, ...], photometric: int, data: bytes, **tags: int) -> bytes:
    """An uncompressed little-endian TIFF file; tags are named as t338 for ExtraSamples."""
    entries = {256: (3, SIZE[0]), 257: (3, SIZE[1]), 259: (3, 1), 262: (3, photometric), 277: (3, len(bits)), 278: (3, SIZE[1])}
    entries |= {279: (4, len(data)), 273: (4, 8), **{int(name[1:]): (3, value) for name, value in tags.items()}}
    packed = struct.pack(f"<{len(bits)}H", *bits).ljust(4, b"\0")
    rows = {tag: struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in entries.items()}
    rows[258] = struct.pack("<HHI", 258, 3, len(bits)) + packed
    directory = struct.pack("<H", len(rows)) + b"".join(rows[tag] for tag in sorted(rows)) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tiff((16,), 1, b"\x80\x4d" * 30), 77),
        (tiff((16,), 0, b"\x80\x4d" * 30), 255 - 77),  # white is zero
        (tiff((12,), 1, b"\x4d\x84\xd8" * 15), 77),  # 0x4d8 twice
        (tiff((8,), 0, b"\x4d" * 30), 255 - 77),
        (tiff((8, 8), 1, b"\x0f\x33" * 30, t338=1), 219),  # premultiplied: 15 of 255 at an alpha of 51
        (tiff((8, 8), 1, b"\x4d\x33" * 30, t338=2), 219),
        (tiff((16,), 1, b"\x80\x4d" * 30, t339=2), None),  # signed
    ],
)
def test_grey_tiff_files_of_every_kind(tmp_path: Path, content: bytes, expected: int | None) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    if expected is None:
        assert "range is unknown" in reason(path)
    else:
        np.testing.assert_allclose(colour_of(path), (expected,) * 3, atol=1)


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png"])
def test_of_several_frames_or_pages_the_first_is_read(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", SIZE, colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **OPTIONS.get(name[2:].upper(), {}))
    np.testing.assert_allclose(colour_of(tmp_path / name), (255, 0, 0), atol=1)


def test_transparent_parts_of_a_gif_become_white(tmp_path: Path) -> None:
    Image.new("P", SIZE, 0).save(tmp_path / "a.gif", transparency=0)
    assert colour_of(tmp_path / "a.gif") == (255, 255, 255)


# --- texts and profiles in PNG files

MEGABYTE = bytes(1 << 20)
LARGE_CHUNKS = {
    "a profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(MEGABYTE + b"x")),
    "a packed text": chunk(b"zTXt", b"x\0\0" + zlib.compress(MEGABYTE + b"x")),
    "a packed international text": chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(MEGABYTE + b"x")),
    "many texts": chunk(b"zTXt", b"x\0\0" + zlib.compress(MEGABYTE)) * 65,
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("what", LARGE_CHUNKS)
def test_a_png_with_large_texts_or_profiles_is_read_upright(tmp_path: Path, what: str, place: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    eighth = chunk(b"eXIf", exif.tobytes()[6:])
    path = tmp_path / "a.png"
    chunks = {"before": eighth, "after": b""} | {place: LARGE_CHUNKS[what] + (eighth if place == "before" else b"")}
    path.write_bytes(png(8, 2, bytes(COLOUR) * 6, **chunks))
    array = read(path)
    assert array.shape == (3, 6, 5) and (array == np.array(COLOUR)[:, None, None]).all()


def test_a_png_with_a_large_text_may_still_be_damaged(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("a", "x" * (1 << 21), zip=True)
    stream = io.BytesIO()
    Image.effect_noise((40, 40), 90).save(stream, "PNG", pnginfo=info)
    (tmp_path / "a.png").write_bytes(stream.getvalue()[:-300])
    assert reason(tmp_path / "a.png") == "damaged"


# --- large images


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("colour_type", "side"), [(2, 7750), (6, 6330), (0, 13_000)])
def test_an_image_that_would_need_too_much_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, colour_type: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, colour_type, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    assert reason(path) == f"too large: {side:,} x {side:,} pixels"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for name, head in (
        ("a.webp", b"RIFF\xff\xff\xff\x7fWEBPVP8 "),
        ("b.avif", b"\0\0\0\x1cftypavif"),
        ("c.png", b"\x89PNG\r\n\x1a\n"),
    ):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(1 << 40)
        assert reason(tmp_path / name).startswith("too large: 1,099,511,627,776 bytes")


SHRUNK = 64  # pixels; min_side of `read_image`
# Scans of a JPEG, and whether it is progressive.
HELD_WHOLE = [
    ("1 2 3", False),
    ("12 3", False),
    ("1 23", False),
    ("123", True),
    ("1234", False),
    ("1 234", False),
]


def jpeg(side: int, scans: str, progressive: bool = False) -> bytes:
    """A grey JPEG, whose coefficients are all 0, with these components in each scan."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content

    components = [int(c) for c in scans.replace(" ", "")]
    frame = struct.pack(">BHHB", 8, side, side, len(components)) + b"".join(bytes([c, 0x11, 0]) for c in components)
    parts = [segment(0xDB, b"\0" + 64 * b"\1"), segment(0xC2 if progressive else 0xC0, frame)]
    parts += [segment(0xC4, bytes([kind, 1] + 16 * [0])) for kind in (0x00, 0x10)]  # Huffman tables: one bit, which means 0
    bits, last = (1, 0) if progressive else (2, 63)  # of a block
    for scan in scans.split():
        parts.append(segment(0xDA, bytes([len(scan)]) + b"".join(bytes([int(c), 0]) for c in scan) + bytes([0, last, 0])))
        parts.append(bytes((-(-side // 8)) ** 2 * len(scan) * bits // 8 + 1))
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("scans", "progressive"), HELD_WHOLE)
def test_a_jpeg_that_is_held_whole_counts_with_its_full_size(
    tmp_path: Path, scans: str, progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(10_000, scans, progressive))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(Exception) as caught:
        read_image(path, lambda image: image, SHRUNK)
    assert why_unreadable(caught.value) == "too large: 10,000 x 10,000 pixels"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("scans", ["123", "1"])
def test_a_large_jpeg_that_is_decoded_at_a_reduced_size_is_read(tmp_path: Path, scans: str) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(10_000, scans))
    assert read_image(tmp_path / "a.jpg", lambda image: image.resize((2, 2)), SHRUNK).tolist() == [[[128, 128]] * 2] * 3


SCRIPT = """
import json, os, resource, sys
from pathlib import Path
from PIL import Image, ImageOps
from gans.data.image_files import read_image

def peak(path):
    reading, writing = os.pipe()
    if not os.fork():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        read_image(Path(path), lambda image: image.resize((64, 64)), 64 if path.endswith(".jpg") else None)
        os.write(writing, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
        os._exit(0)
    os.wait()
    return 1024 * int(os.read(reading, 99))

Image.init()
print(json.dumps([peak(path) for path in sys.argv[1:]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_decoding_needs_no_more_memory_than_it_reserves(tmp_path: Path) -> None:
    needs = {}
    for name, mode in [case for case in CASES if case[1] in ("LA", "RGB", "I;16") and case[0] != "GIF"]:
        options = {"TIFF": {"compression": "tiff_lzw"}, "AVIF": {"speed": 10}, "WEBP": {"lossless": True, "method": 0}}.get(
            name, {}
        )
        for side in (1000, 50):  # the small one shows what does not depend on the size
            path = tmp_path / f"{side}{mode[:2]}{FORMATS[name][0]}"
            IMAGES[mode][0]().resize((side, side), Image.Resampling.NEAREST).save(path, name, **options)
            with Image.open(path) as image:
                needs[str(path)] = module._bytes_to_decode(image, None)
    for scans, progressive in [("123", False), *HELD_WHOLE]:
        for side in (3000, 50):
            path = tmp_path / f"{side} {scans} {progressive}.jpg"
            path.write_bytes(jpeg(side, scans, progressive))
            with Image.open(path) as image:
                needs[str(path)] = module._bytes_to_decode(image, SHRUNK)
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *needs]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    grown = dict(zip(needs, json.loads(result.stdout), strict=True))
    for path, small in zip(list(needs)[::2], list(needs)[1::2], strict=True):
        assert grown[path] - grown[small] < needs[path] + 2_000_000, path


def test_threads_decode_no_more_at_a_time_than_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(module, "_decoding", module._Budget(2 * 8 * 40 * 40))
    decoding, most = [], 0

    def prepare(image: Image.Image) -> Image.Image:
        nonlocal most
        decoding.append(image)
        most = max(most, len(decoding))
        time.sleep(0.01)
        decoding.pop()
        return image

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda _: read_image(tmp_path / "a.png", prepare), range(16)))) == 16
    assert most == 2


# --- which files


def test_images_of_other_formats_are_counted_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.heic", "c.HEIC", "sub/d.svg", "notes.txt", ".hidden.heic", "labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(tmp_path) == [tmp_path / "a.png"]
    assert capsys.readouterr().err == (
        f"3 files in {tmp_path} are of image formats that are not read (.heic, .svg); convert them to PNG.\n"
    )


def test_subfolders_that_cannot_be_opened_are_skipped_and_named_but_the_folder_itself_must_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lost+found", "sub/secret", "sub/open"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.png").touch()
    scandir = os.scandir

    def deny(path: str) -> object:  # not chmod, which does not stop root
        if str(path).endswith(("lost+found", "secret")):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert find_images(tmp_path) == [tmp_path / "sub/open/a.png"]
    assert capsys.readouterr().err == (
        f"2 of the subfolders of {tmp_path} cannot be opened: lost+found (Permission denied), "
        f"{Path('sub/secret')} (Permission denied).\n"
    )
    with pytest.raises(DataError, match=r"lost\+found cannot be opened \(Permission denied\)"):
        find_images(tmp_path / "lost+found")


def test_the_names_of_files_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module.report_failures({tmp_path / "\x1b[2J\n.png": "damaged"}, tmp_path, 1)
    assert capsys.readouterr().err == f"1 of the 1 images in {tmp_path} cannot be read: \\x1b[2J\\n.png (damaged).\n"
