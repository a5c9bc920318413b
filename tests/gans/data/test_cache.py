"""The cache folder is where $MINIGRAD_CACHE or the platform says, and holds what was drawn."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from gans.data import cache as module
from gans.data.cache import Bytes, cache_folder, cached, drawn_version
from gans.data.errors import DataError
from gans.data.idx import read_idx, write_idx


def test_the_cache_folder_follows_the_environment_and_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "chosen"))
    assert cache_folder("mnist") == tmp_path / "chosen" / "mnist"
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for variable in ("MINIGRAD_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    for platform, folder in (("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder("mnist") == tmp_path / folder / "minigrad" / "mnist"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("mnist") == tmp_path / "xdg" / "minigrad" / "mnist"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG specification says to ignore relative paths
    assert cache_folder("mnist") == tmp_path / ".cache" / "minigrad" / "mnist"


@pytest.mark.parametrize("home", [None, "a file", "open to others"])
def test_without_a_folder_of_this_users_alone_the_cache_is_a_temporary_one(
    home: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = tmp_path / "home" / "minigrad"
    usual.parent.mkdir()
    if home == "a file":
        usual.touch()
    if home == "open to others":
        if sys.platform == "win32":
            pytest.skip("Windows has no mode bits")
        usual.mkdir()
        usual.chmod(0o777)
    monkeypatch.delenv("MINIGRAD_CACHE", raising=False)
    monkeypatch.setattr(module, "user_cache", lambda: [usual.parent] if home else [])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.warns(RuntimeWarning, match="The data sets are cached in "):
        assert cache_folder("mnist").parent.parent == tmp_path
    monkeypatch.setattr(tempfile, "tempdir", __file__)
    with pytest.warns(RuntimeWarning, match="The data sets are not cached"), pytest.raises(DataError):
        write_idx(cache_folder("mnist") / "x", np.zeros(1, np.uint8))


class Drawing:
    """Draws other numbers each time, and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, 0

    def load(self, n: int = 5) -> list[Bytes]:
        return cached(self.folder, "things", {f"{n}-images": (n, 4), f"{n}-labels": (n,)}, lambda: self.draw(n))

    def draw(self, n: int) -> list[Bytes]:
        self.times += 1
        return [np.full((n, 4), self.times, np.uint8), np.full(n, self.times, np.uint8)]


@pytest.fixture
def drawing(tmp_path: Path) -> Drawing:
    return Drawing(tmp_path / "cache")


def test_each_thing_is_drawn_once(drawing: Drawing, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        for n in (5, 6):
            assert [array.shape for array in drawing.load(n)] == [(n, 4), (n,)]
    assert drawing.times == 2 and len(list(drawing.folder.iterdir())) == 4
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["images", "labels"])
@pytest.mark.parametrize("content", [None, b"", b"rubbish", "short", "float"])
def test_what_is_missing_or_damaged_is_silently_drawn_again(
    drawing: Drawing, name: str, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing.load()
    (path,) = drawing.folder.glob(f"5-{name}-*")
    match content:
        case None:
            path.unlink()
        case "short":
            write_idx(path, read_idx(path)[:-1])
        case "float":
            write_idx(path, read_idx(path).astype(np.float32))
        case bytes():
            path.write_bytes(content)
    for _ in range(2):
        assert [array.max() for array in drawing.load()] == [2, 2]
    assert capsys.readouterr().err == ""


def test_what_an_older_version_drew_is_not_used(drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing.load()
    assert all(drawn_version() in path.name for path in drawing.folder.iterdir())
    monkeypatch.setattr(module, "drawn_version", lambda: "newer")
    drawing.load()
    assert drawing.times == 2


def test_another_pillow_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn_version()
    monkeypatch.setattr("PIL.__version__", "0.0")
    assert drawn_version() != before


def test_where_nothing_can_be_cached_a_line_says_so(drawing: Drawing, capsys: pytest.CaptureFixture[str]) -> None:
    drawing.folder.touch()  # a file where a folder should be
    assert len(drawing.load()[0]) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The synthetic things are not cached: ") and str(drawing.folder) in line
