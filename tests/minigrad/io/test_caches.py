"""A cache is in a folder that only this user can change: the usual one, else a temporary one, else there is none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.io import caches
from minigrad.io.caches import private_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows: each user has folders of their own")
OTHER = 4242  # a user


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder of the system."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


def to_a_file(folder: Path) -> None:
    (folder / "old").unlink()
    folder.rmdir()
    folder.touch()


def to_a_link_of_another(folder: Path) -> None:
    folder.rename(folder.with_name("target"))
    folder.symlink_to(folder.with_name("target"))
    give_away(folder)


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "others may write": lambda folder: folder.chmod(0o777),
    "the group may write": lambda folder: folder.chmod(0o770),
    "others may write a file in it": lambda folder: (folder / "old").chmod(0o666),
    "another's folder": give_away,
    "another's file in it": lambda folder: give_away(folder / "old"),
    "a file": to_a_file,
    "a link to another's folder": lambda folder: (to_a_link_of_another(folder), give_away(folder.with_name("target")))[0],
    "another's link": to_a_link_of_another,
}


@pytest.mark.parametrize("spoil", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_folder_that_others_can_change_or_that_is_none_is_not_used(
    spoil: Callable[[Path], None], tmp_path: Path, temporary: Path
) -> None:
    usual = tmp_path / "usual"
    usual.mkdir(mode=0o755)
    (usual / "old").touch()
    assert private_folder([usual], "name", "things") == usual
    spoil(usual)
    with pytest.warns(RuntimeWarning, match=r"^The things are cached in .*name-\d+, because .*usual can(not)? be") as warned:
        folder = private_folder([usual], "name", "things")
    assert folder == temporary / f"name-{os.geteuid()}" and mode(folder) == 0o700 and len(warned) == 1
    spoil_again = UNUSABLE["others may write"]
    spoil_again(folder)
    with pytest.warns(RuntimeWarning, match="The things are cached for this run only, because"):
        fresh = private_folder([usual], "name", "things")
    assert fresh is not None and fresh.parent == temporary and mode(fresh) == 0o700 and fresh != folder


def test_a_later_usual_folder_is_used_without_a_word(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "file").touch()
    assert private_folder([tmp_path / "file", tmp_path / "new" / "home"], "name", "things") == tmp_path / "new" / "home"
    assert mode(tmp_path / "new" / "home") == 0o700 and not list(temporary.iterdir())


def test_a_link_of_this_user_to_a_folder_of_theirs_is_used(tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "large-disk")
    assert private_folder([tmp_path / "link"], "name", "things") == tmp_path / "link"


def test_what_is_closed_to_others_may_hold_what_they_could_write(tmp_path: Path) -> None:
    """With the umask 002, files are written like this."""
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "a" / "file").touch()
    (tmp_path / "a" / "file").chmod(0o664)
    assert private_folder([tmp_path / "a"], "name", "things") == tmp_path / "a"


def test_a_folder_to_read_need_not_be_writable(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert private_folder([tmp_path], "name", "things", to_write=False) == tmp_path
    with pytest.warns(RuntimeWarning, match=r"this run only, because .* cannot be used \(Permission denied\) and"):
        private_folder([tmp_path], "name", "things")


def test_without_any_place_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match=r"^The things are not cached, because .*\.$"):
        assert private_folder([tmp_path / "file"], "name", "things") is None


@given(modes=st.lists(st.integers(0, 0o777), min_size=2, max_size=2))
def test_the_rule_for_modes(modes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, "folder")
        folder.mkdir()
        (folder / "file").touch()
        (folder / "file").chmod(modes[1])
        folder.chmod(modes[0] | 0o700)
        reachable = modes[0] & 0o011
        assert caches._others_can_change(folder) == bool(modes[0] & 0o022 or (reachable and modes[1] & 0o022))
