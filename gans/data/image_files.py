"""Find image files in a folder, decode them, and report those that cannot be read."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import stat
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from gans.data.errors import DataError, printable
from minigrad.io import files
from minigrad.io.files import FileError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FORMATS = {  # the only decoders that Pillow may use, and the suffixes to look for; the content decides, not the suffix
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
_OTHER_SUFFIXES = (  # of images that are not read, which a line on stderr counts
    ".arw", ".cr2", ".cr3", ".cur", ".dds", ".dib", ".dng", ".emf", ".eps", ".exr", ".hdr", ".heic", ".heif", ".hif", ".icns",
    ".ico", ".j2k", ".jp2", ".jpx", ".jxl", ".jxr", ".nef", ".orf", ".pam", ".pcx", ".pfm", ".psb", ".psd", ".qoi", ".raf",
    ".ras", ".raw", ".rgb", ".rw2", ".sgi", ".svg", ".svgz", ".tga", ".wmf", ".xbm", ".xcf", ".xpm",
)  # fmt: skip

MAX_DECODED = 480_000_000  # bytes in which one image must fit while it is decoded; all threads together use no more
MOST_SETTINGS = 1_000_000  # bytes of a run's config.json
_TRIM = 4 << 20  # bytes of an image after which free memory is given back to the system

_MAX_NAMED = 3  # unreadable files that the warning lists by name
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND")  # of a PNG file


class _Unusable(Exception):
    """Why an image is not read, in a few words."""


def find_images(folder: Path) -> list[Path]:
    """The image files (by suffix) in a folder and its subfolders, without hidden ones.

    They are sorted by their paths relative to the folder, written with "/", so the order is the same
    on every platform. Lines on stderr name subfolders that cannot be opened and run folders, whose images
    were generated, and count images of other formats; all of these are left out. Raises DataError if the
    folder itself does not exist, cannot be opened or is a file.
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise DataError(f"{folder} is a file, not a folder; it must be a folder of images.")
    closed: dict[Path, str] = {}
    runs: list[Path] = []
    visible = list(_visible_files(folder, closed, runs))
    others = [suffix for file in visible if (suffix := file.suffix.lower()) in _OTHER_SUFFIXES]
    if closed:
        _warn(f"{len(closed):,} of the subfolders of {folder} cannot be opened: {_list(closed, folder)}.")
    if runs:
        _warn(f"Runs in {folder} are left out: {_list(dict.fromkeys(runs, 'generated images'), folder)}.")
    if others:
        formats = ", ".join(sorted(set(others)))
        _warn(f"{len(others):,} files in {folder} are of image formats that are not read ({formats}); convert them to PNG.")
    return sorted(
        (file for file in visible if file.suffix.lower() in SUFFIXES), key=lambda file: file.relative_to(folder).as_posix()
    )


def is_run(folder: Path) -> bool:
    """Whether it is the folder of a run (`gans.training.run_folder`): its images are not for training."""
    try:
        settings = files.read(folder / "config.json", MOST_SETTINGS, follow=True)
    except FileError:
        return False
    return b'"trainer"' in settings and b'"minigrad"' in settings and os.path.isdir(folder / "samples")


def _visible_files(folder: Path, closed: dict[Path, str], runs: list[Path]) -> Iterator[Path]:
    """The files; the subfolders that cannot be opened go into `closed`, with the reason, and those of runs into `runs`."""

    def skip(error: OSError) -> None:
        reason = error.strerror or str(error)
        if not visited:
            raise DataError(f"{folder} cannot be opened ({reason}); it must be a folder of images.") from error
        closed[Path(error.filename)] = reason

    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, onerror=skip, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a symbolic link to a folder that was already walked, perhaps a cycle
            subfolders.clear()
            continue
        visited.add(real)
        visible = sorted(Path(parent, name) for name in subfolders if not name.startswith("."))
        found = list(filter(is_run, visible))
        runs += found
        subfolders[:] = [path.name for path in visible if path not in found]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def read_image(path: Path, prepare: Callable[[Image], Image], min_side: int | None = None) -> npt.NDArray[np.uint8]:
    """Decode one image to RGB, uint8 (3, height, width). Raises whatever Pillow raises; see `why_unreadable`.

    The image is turned upright by its EXIF orientation, and transparent parts become white. Of an
    animation or a file with several pages the first is read. An image that would need more than
    MAX_DECODED bytes is refused before it is decoded: that is 60 megapixels of opaque PNG, BMP or GIF, 24
    of WebP, 30 of AVIF, 40 of others. Of a JPEG that is decoded at a reduced size it is Pillow's own limit,
    178, or nearly 80 if it is progressive.
    Threads wait until all that they decode together fits.

    Parameters
    ----------
    prepare : function of a Pillow image (mode RGB or RGBA), applied before transparent parts become white
    min_side : if given, a large JPEG is decoded at a reduced size of at least this many pixels a side, which is faster
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block forever
        raise _Unusable("not a regular file")
    if status.st_size > MAX_DECODED:  # some decoders first read the whole file
        raise _Unusable(f"too large: {status.st_size:,} bytes")
    try:
        return _decode(path, prepare, min_side)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):
            raise
    return _decode(_pixels_only(path, status.st_size), prepare, min_side)


def _decode(file: Path | BinaryIO, prepare: Callable[[Image], Image], min_side: int | None) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    with Image.open(file, formats=tuple(FORMATS)) as image:
        width, height = image.size
        need = _bytes_to_decode(image, min_side)
        if need > MAX_DECODED:
            raise _Unusable(f"too large: {width:,} x {height:,} pixels")
        with _decoding.reserve(need):
            _scale_transparency(image)
            image.load()
            with contextlib.suppress(Exception):  # damaged EXIF data raises many kinds of errors; the pixels are still good
                ImageOps.exif_transpose(image, in_place=True)
            prepared = prepare(_to_rgb_or_rgba(image))
            if prepared.mode == "RGBA":
                prepared = Image.alpha_composite(Image.new("RGBA", prepared.size, "white"), prepared).convert("RGB")
            pixels = np.asarray(prepared).transpose(2, 0, 1)
            image.close()  # frees its pixels before others take their place
            if need > _TRIM:
                _give_memory_back()
    return pixels


def _bytes_to_decode(image: ImageFile, min_side: int | None) -> int:
    """The memory that an image needs at most, as measured. With `min_side` a JPEG is set to 1/2, 1/4 or 1/8 of its size."""
    whole = _coefficients(image)
    if min_side is not None:
        image.draft(None, (min_side, min_side))
    return whole + image.width * image.height * (6 if whole else _bytes_per_pixel(image))


def _bytes_per_pixel(image: ImageFile) -> int:
    """Decoders hold up to five copies of an image, and a conversion makes another."""
    if image.format == "WEBP":
        return 20
    if image.format == "AVIF" or image.mode == "I":
        return 16
    if image.format in ("PPM", "TIFF") or image.mode == "I;16" or image.has_transparency_data:
        return 12
    return 8


def _coefficients(image: ImageFile) -> int:
    """The bytes of a JPEG that libjpeg holds whole, because its first scan is not of all its pixels; 0 for other images."""
    from PIL.JpegImagePlugin import JpegImageFile

    if not isinstance(image, JpegImageFile):
        return 0
    # Pillow has just read the header of the first scan. Before it a JPEG of four components could have bytes that look like
    # another header, and of an MPO file Pillow has read more: these two count as if they were held.
    n = image.layers
    if image.format == "JPEG" and n < 4 and "progressive" not in image.info:
        file = cast(BinaryIO, image.fp)
        file.seek(-8 - 2 * n, os.SEEK_CUR)
        if file.read(8 + 2 * n).startswith(bytes([0xFF, 0xDA, 0, 6 + 2 * n, n])):
            return 0
    return 2 * n * image.width * image.height


class _Budget:
    """A number of bytes that threads share."""

    def __init__(self, total: int) -> None:
        self._free, self._changed = total, threading.Condition()

    @contextlib.contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Wait until `count` bytes are free; they are not during the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


_decoding = _Budget(MAX_DECODED)


def _give_memory_back() -> None:
    """Free memory goes back to the system: glibc would keep it for each thread."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _pixels_only(path: Path, size: int) -> io.BytesIO:
    """A PNG file without its texts and profiles, of which Pillow takes only 1 MB (unpacked) for fear of zip bombs."""
    with path.open("rb") as file:
        parts = [file.read(8)]
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind in _PIXEL_CHUNKS:
                parts += [header, file.read(min(length + 4, size))]  # and 4 bytes of checksum
            else:
                file.seek(length + 4, os.SEEK_CUR)
    return io.BytesIO(b"".join(parts))


def _scale_transparency(image: ImageFile) -> None:
    """Scale the colour that a PNG declares transparent to 8 bits, like the pixels. Pillow leaves it as it is in the file."""
    scale = {"1": 255, "L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}.get(str(image.tile[0][3])) if image.tile else None
    if scale is not None and (colour := image.info.get("transparency")) is not None:
        image.info["transparency"] = (
            tuple(int(value * scale) for value in colour) if isinstance(colour, tuple) else int(colour * scale)
        )


def _to_rgb_or_rgba(image: Image) -> Image:
    """The image in mode RGBA if it may have transparent parts, else in mode RGB."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        image = _from_16_bits(image)
    elif image.mode in ("I", "F"):
        raise _Unusable("signed or 32-bit pixels, whose range is unknown")
    elif image.mode == "La":  # grey premultiplied by alpha, which does not convert to RGBA directly
        image = image.convert("LA")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _from_16_bits(image: Image) -> Image:
    """The high bytes of 16-bit grey, which convert() would clip instead of scaling, in mode L or LA."""
    from PIL import Image

    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of a TIFF file
    bits = tags.get(258, (16,))[0]  # BitsPerSample: 12 or 16
    grey = Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    if tags.get(262) == 0:  # PhotometricInterpretation: white is zero
        grey = grey.point(lambda value: 255 - value)
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray((values != transparent) * np.uint8(255)))
    return grey


@contextlib.contextmanager
def pillow_warnings_ignored() -> Iterator[None]:
    """Silence Pillow's warnings about large images and odd metadata, which it decodes anyway, and libtiff's about damage.

    Warning filters are global to the process, so enter this once, outside of any threads.
    """
    from PIL import Image

    with contextlib.suppress(OSError, AttributeError):  # AttributeError: libtiff is not a shared library
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)  # it prints lines that do not say which file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def why_unreadable(error: Exception) -> str:
    """Why an image could not be decoded, in a few words."""
    from PIL import Image

    if isinstance(error, _Unusable):
        return str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return "too large"
    return (isinstance(error, OSError) and error.strerror) or "damaged"


def report_failures(failures: Mapping[Path, str], folder: Path, total: int, action: str = "read") -> None:
    """Print one line on stderr that counts the failed images and names the first few, with reasons.

    Parameters
    ----------
    failures : file below `folder` to reason
    total : number of images, failed or not
    action : what failed, as in "cannot be read"
    """
    _warn(f"{len(failures):,} of the {total:,} images in {folder} cannot be {action}: {_list(failures, folder)}.")


def _list(failures: Mapping[Path, str], folder: Path) -> str:
    named = [f"{path.relative_to(folder)} ({failures[path]})" for path in sorted(failures)[:_MAX_NAMED]]
    more = f" and {len(failures) - len(named):,} more" if len(failures) > len(named) else ""
    return ", ".join(named) + more


def _warn(line: str) -> None:
    print(printable(line), file=sys.stderr)
