"""Guess the type of a file from its first bytes, for messages about files of the wrong type."""

_MAGIC = {  # compared in lower case
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML page",
    b"\x89png": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"gif8": "a GIF image",
    b"pk\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"bzh": "a bzip2 file",
    b"\xfd7zxz": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"%pdf": "a PDF document",
    b"\x93numpy": "a NumPy .npy file",
    b"\x89hdf": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer",
}


def guess_file_type(head: bytes) -> str | None:
    """The likely type of a file that begins with `head`, such as "an HTML page", or None."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    return "a text file" if head.isascii() and "".join(head.decode().split()).isprintable() else None
