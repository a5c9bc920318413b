"""Compiled kernels are cached by the version of all their sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile
from numba.core.dispatcher import Dispatcher

import minigrad as mg
from minigrad.arrays import backend
from minigrad.kernels import cpu, reference
from minigrad.kernels.cpu import cache, elementwise, gemm, im2col, implicit_gemm, loops
from minigrad.kernels.cpu.cache import FOLDER, find_folder, version_of
from minigrad.kernels.cpu.vectors import L2_BYTES


def test_every_kernel_is_cached_in_the_folder_of_this_version() -> None:
    modules = gemm, implicit_gemm, im2col, elementwise, loops
    functions = [x for module in modules for x in vars(module).values() if isinstance(x, numba.core.dispatcher.Dispatcher)]
    assert len(functions) > 20
    assert {function.stats.cache_path for function in functions} == {gemm._product.stats.cache_path}
    assert FOLDER is not None and FOLDER in Path(gemm._product.stats.cache_path).parents
    compiler = f"numba-{numba.__version__}-{llvmlite.__version__}"
    assert FOLDER.name == f"minigrad-{version_of(Path(cpu.__file__).parent)}-{compiler}-{L2_BYTES >> 10}k"


def test_functions_of_other_packages_are_not_cached_there() -> None:
    assert str(FOLDER) not in str(numba.config.CACHE_DIR)


def test_a_change_of_any_file_changes_the_version(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text("y = 1")
    before = version_of(tmp_path)
    assert version_of(tmp_path) == before
    (tmp_path / "b.py").write_text("y = 2")
    assert version_of(tmp_path) != before


def test_folders_of_older_versions_are_removed(tmp_path: Path) -> None:
    cached = tmp_path / "__pycache__"
    for name in ("minigrad-old", "others"):
        (cached / name).mkdir(parents=True)
    folder = find_folder(tmp_path, "")
    assert folder is not None and folder.parent == cached
    assert sorted(path.name for path in cached.iterdir()) == [folder.name, "others"]


def test_in_a_folder_that_the_user_chose_other_versions_stay(tmp_path: Path) -> None:
    """Other installations may use it as well."""
    (tmp_path / "minigrad-old").mkdir()
    folder = find_folder(tmp_path / "sources", str(tmp_path))
    assert folder is not None and folder.parent == tmp_path
    assert (tmp_path / "minigrad-old").exists()


def test_an_installation_that_cannot_be_written_uses_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__pycache__").touch()
    monkeypatch.setattr(cache, "user_cache", lambda: [tmp_path / "home"])
    folder = find_folder(tmp_path, "")
    assert folder is not None and folder.parent == tmp_path / "home" / "minigrad-kernels"


def plus_one(x: float) -> float:
    return x + 1


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None], Dispatcher]:
    """A new compiled function, cached in the folder given."""

    def compile_in(folder: Path | None) -> Dispatcher:
        monkeypatch.setattr(cache, "FOLDER", folder)
        with cache.cached_by_version():
            return numba.njit(cache=True)(plus_one)

    return compile_in


def test_without_a_place_for_a_cache_kernels_are_compiled(compiled: Callable[..., Dispatcher], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file"):
        assert compiled(folder)(1.0) == 2
    assert not cache.is_filled()


def test_a_damaged_cache_is_written_again(compiled: Callable[..., Dispatcher], tmp_path: Path) -> None:
    assert compiled(tmp_path)(1.0) == 2
    (path,) = tmp_path.rglob("*.nbc")
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert compiled(tmp_path)(1.0) == 2
    again = compiled(tmp_path)
    assert again(1.0) == 2 and sum(again.stats.cache_hits.values()) == 1


def test_processes_that_compile_at_the_same_time_keep_both_results(
    compiled: Callable[..., Dispatcher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has found out what is in the folder, and before it writes anything the other has written its own."""
    one, other = compiled(tmp_path), compiled(tmp_path)
    open_for_write = IndexDataCacheFile._open_for_write

    def open_late(self: IndexDataCacheFile, path: str) -> object:
        monkeypatch.setattr(IndexDataCacheFile, "_open_for_write", open_for_write)
        assert other(np.float32(1)) == 2
        return open_for_write(self, path)

    monkeypatch.setattr(IndexDataCacheFile, "_open_for_write", open_late)
    assert one(1) == 2
    again = compiled(tmp_path)
    assert (again(1), again(np.float32(1))) == (2, 2)
    assert {str(key): hits for key, hits in again.stats.cache_hits.items()} == {"(int64,)": 1, "(float32,)": 1}


def test_another_version_of_numba_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_folder(tmp_path, str(tmp_path))
    monkeypatch.setattr(numba, "__version__", "0.0")
    assert find_folder(tmp_path, str(tmp_path)) != before


def test_types_processors_and_bytecodes_have_files_of_their_own() -> None:
    files = gemm._product._cache._cache_file
    keys = [
        ("float32", "avx2", "code"),
        ("float64", "avx2", "code"),
        ("float32", "avx512", "code"),
        ("float32", "avx2", "other"),
    ]
    assert len({files._file(key) for key in keys}) == len(keys)


def test_a_full_disk_is_a_warning(compiled: Callable[..., Dispatcher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", refuse)
    with pytest.warns(RuntimeWarning, match=r"cannot be cached in .* \(No space left on device\)"):
        assert compiled(tmp_path)(1.0) == 2


def test_with_jit_disabled_a_step_is_computed_by_the_reference_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    class Moving:
        """x becomes x - lr, for an lr that changes: what a captured step would get wrong, if it did not know of it."""

        def __init__(self) -> None:
            self.x = mg.nn.Parameter(np.zeros(3, np.float32))
            self.optimizer = mg.optim.SGD([self.x], lr=lambda step: float(step))

        def step(self, ones: mg.Tensor) -> dict[str, mg.Tensor]:
            self.optimizer.step(mg.grad((self.x * ones).sum(), [self.x]))
            return {"x": self.x.sum()}

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    backend.kernels_named.cache_clear()
    try:
        assert backend.kernels(np.zeros(1)) is reference and backend.kernels_are_compiled()
        moving, plain = Moving(), Moving()
        captured = mg.Captured(moving.step)
        ones = mg.Tensor(np.ones(3, np.float32))
        for _ in range(6):
            assert captured(ones)["x"].item() == plain.step(ones)["x"].item()
        assert captured.program is None
    finally:
        backend.kernels_named.cache_clear()
