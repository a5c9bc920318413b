"""The cache folder is where $MINIGRAD_CACHE says, else where the platform keeps caches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gans.data.cache import cache_folder


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
