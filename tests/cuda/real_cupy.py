"""The names and signatures of the real CuPy, where it is installed. It can be imported without a GPU.

The stand-in asks `check_call` before each call, so it is not kinder than CuPy: what passes the tests on the stand-in exists in
CuPy, takes these arguments, and has NumPy's defaults for the others. Where CuPy is not installed, nothing is checked.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from typing import Any

import numpy as np

cupy: Any = None
with contextlib.suppress(ImportError):
    import cupy

NO_DEFAULT = (inspect.Parameter.empty, np._NoValue, None)  # None: what the function chooses


def find(path: str, package: Any = None) -> Any:
    """What `path`, such as "ndarray.sum", is in CuPy; AttributeError if it does not exist."""
    found = package or cupy
    for name in path.split("."):
        found = getattr(found, name)
    return found


@functools.cache
def signature(path: str) -> inspect.Signature | None:
    """The signature of a function of CuPy; None if CuPy does not say. Compiled ones have it in their first line."""
    function = find(path)
    with contextlib.suppress(ValueError, TypeError):
        return inspect.signature(function)
    first_line = (function.__doc__ or "").partition("\n")[0].replace("\\", "")
    found = re.match(r"[\w.]+\((.*)\)(?: -> .*)?$", first_line)
    if found is None:
        return None
    parameters = re.sub(r"(^|, )(?:\w+ )+(?=\w+(?:,|=|$))", r"\1", found[1])  # without C's types: "Py_ssize_t axis1"
    scope: dict[str, Any] = {}
    with contextlib.suppress(SyntaxError):  # "x1[, out1]"
        exec(f"def written({parameters}): ...", scope)
        return inspect.signature(scope["written"])
    return None


@functools.cache
def check_call(path: str, positional: int, names: tuple[str, ...]) -> None:
    """TypeError if `path` does not take so many positional arguments (self included) and those of these names.

    TypeError also if one of the others has another default than in NumPy; AttributeError if CuPy has no such function.
    """
    if cupy is None:
        return
    theirs = signature(path)
    if theirs is None:
        return
    try:
        given = theirs.bind(*[None] * positional, **dict.fromkeys(names)).arguments
    except TypeError as error:
        raise TypeError(f"cupy.{path}{theirs} does not take these arguments: {error}") from None
    for name, default in _defaults(_numpys(path)).items():
        theirs_too = _defaults(theirs).get(name, default)
        if name not in given and theirs_too is not default and theirs_too != default:
            raise TypeError(f"by default {name} is {theirs_too!r} in cupy.{path}, but {default!r} in NumPy")


def _numpys(path: str) -> inspect.Signature | None:
    with contextlib.suppress(AttributeError, ValueError, TypeError):
        return inspect.signature(find(path, np))
    return None


def _defaults(known: inspect.Signature | None) -> dict[str, Any]:
    parameters = known.parameters.values() if known else ()
    return {p.name: p.default for p in parameters if not any(p.default is nothing for nothing in NO_DEFAULT)}


def promises_more(path: str, stand_in: Any) -> list[str]:
    """What the stand-in's function of this name takes, or assumes as a default, and CuPy's does not."""
    theirs = signature(path)
    try:
        ours = inspect.signature(stand_in).parameters.values()
    except (ValueError, TypeError):
        return []
    if theirs is None:
        return []
    kinds = {p.kind for p in theirs.parameters.values()}
    found = []
    for p in ours:
        other = theirs.parameters.get(p.name)
        if p.name == "self" or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or (other is None and p.VAR_KEYWORD in kinds):
            continue
        if other is None:
            found.append(f"{path} has no {p.name}")
        elif p.default is not p.empty and other.default is not p.empty and other.default != p.default:
            found.append(f"{path} has {p.name}={other.default!r}, not {p.default!r}")
    return found
