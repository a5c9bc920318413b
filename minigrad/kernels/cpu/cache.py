"""Where numba caches the compiled kernels: in one folder for each version of all their sources, and of the compiler.

By itself, numba recompiles a function when its own file has changed, but not when the file of a
function that it calls has: after an update, old and new kernels would be mixed. Two processes that
compile at the same time overwrite each other's list of files, and a kernel for float64 may be loaded
for float32. And where it finds no folder that it can write to, it raises an error.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, UserProvidedCacheLocator
from numba.core.dispatcher import Dispatcher

from minigrad.io.caches import private_folder, user_cache
from minigrad.kernels.cpu.vectors import L2_BYTES  # loops are compiled for it

SOURCES = Path(__file__).parent


def version_of(sources: Path) -> str:
    """A hash of the contents of all Python files of a folder."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources.glob("*.py")))).hexdigest()[:16]


def find_folder(sources: Path, chosen: str) -> Path | None:
    """The cache of this version of the sources: in the folder that the user chose, else beside them, else in the user's cache.

    The cache is refused if other users can change it: numba's files are pickles, so whoever writes one runs code here.
    None if there is no place for a cache.
    """
    name = f"minigrad-{version_of(sources)}-numba-{numba.__version__}-{llvmlite.__version__}-{L2_BYTES >> 10}k"
    usual = Path(chosen or sources / "__pycache__") / name
    if not chosen and not usual.exists():
        for old in set(usual.parent.glob("minigrad-*")) - {usual}:  # another process may have just created it
            shutil.rmtree(old, ignore_errors=True)
    return private_folder([usual, *(cache / "minigrad-kernels" / name for cache in user_cache())], name, "compiled kernels")


FOLDER = find_folder(SOURCES, numba.config.CACHE_DIR)


class _InFolder(CompileResultCacheImpl):
    _locator_classes = [UserProvidedCacheLocator]  # numba.config.CACHE_DIR, and no other folder


class _Files(IndexDataCacheFile):
    """A file for each signature of a function, named after the signature, and no index."""

    def save(self, key: Any, data: Any) -> None:
        self._save_data(self._file(key), data)

    def load(self, key: Any) -> Any:
        with suppress(FileNotFoundError):
            return self._load_data(self._file(key))
        return None

    def _file(self, key: Any) -> str:
        """The name for a key: the types, the processor with its instructions, and the function's bytecode."""
        return self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:16], 16))


class KernelCache(FunctionCache):
    """The compiled versions of a function on disk. Files that cannot be read or written cost time, nothing else."""

    _impl_class = _InFolder

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, source_stamp=None)  # FOLDER is of one version

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            loaded = super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file raises many kinds of errors
            return None
        if loaded is not None and loaded.reload_init:
            # A function that is compiled with this one in it needs its units (see `units`) when it is loaded itself.
            loaded.library._reload_init.update(loaded.reload_init)
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            problem = f"compiled kernels cannot be cached in {FOLDER} ({error.strerror or error})"
            warnings.warn(problem, RuntimeWarning, stacklevel=2)


def _enable_caching(function: Any) -> None:
    if FOLDER is not None:
        with suppress(RuntimeError):  # the folder can no longer be written
            function._cache = KernelCache(function.py_func)


@contextmanager
def cached_by_version() -> Iterator[None]:
    """Cache the functions that are defined in this context in FOLDER."""
    config: Any = numba.config
    functions: Any = Dispatcher
    before = config.CACHE_DIR, functions.enable_caching
    config.CACHE_DIR, functions.enable_caching = str(FOLDER), _enable_caching
    try:
        yield
    finally:
        config.CACHE_DIR, functions.enable_caching = before


def is_filled() -> bool:
    """Whether compiled kernels are on disk; otherwise the first step takes some seconds longer."""
    return FOLDER is not None and any(FOLDER.rglob("gemm.*.nbc"))
