"""Compiled kernels are cached by the version of all their sources."""

from __future__ import annotations

from pathlib import Path

import numba
import pytest

from minigrad.kernels import cpu
from minigrad.kernels.cpu import cache, elementwise, gemm, im2col, implicit_gemm, loops
from minigrad.kernels.cpu.cache import FOLDER, version_of
from minigrad.kernels.cpu.vectors import L2_BYTES


def test_every_kernel_is_cached_in_the_folder_of_this_version() -> None:
    modules = gemm, implicit_gemm, im2col, elementwise, loops
    functions = [x for module in modules for x in vars(module).values() if isinstance(x, numba.core.dispatcher.Dispatcher)]
    assert len(functions) > 20
    assert {function.stats.cache_path for function in functions} == {gemm._product.stats.cache_path}
    assert FOLDER in Path(gemm._product.stats.cache_path).parents
    assert FOLDER.name == f"minigrad-{version_of(Path(cpu.__file__).parent)}-{L2_BYTES >> 10}k"


def test_functions_of_other_packages_are_not_cached_there() -> None:
    assert str(FOLDER) not in str(numba.config.CACHE_DIR)


def test_a_change_of_any_file_changes_the_version(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text("y = 1")
    before = version_of(tmp_path)
    assert version_of(tmp_path) == before
    (tmp_path / "b.py").write_text("y = 2")
    assert version_of(tmp_path) != before


def test_folders_of_older_versions_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "minigrad-new")
    for name in ("minigrad-old", "others"):
        (tmp_path / name).mkdir()
    with cache.cached_by_version():
        assert str(tmp_path / "minigrad-new") == numba.config.CACHE_DIR
    assert not numba.config.CACHE_DIR
    assert [path.name for path in tmp_path.iterdir()] == ["others"]


def test_in_a_folder_that_the_user_chose_other_versions_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other installations may use it as well."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "minigrad-new")
    (tmp_path / "minigrad-old").mkdir()
    with cache.cached_by_version():
        pass
    assert str(tmp_path) == numba.config.CACHE_DIR
    assert (tmp_path / "minigrad-old").exists()
