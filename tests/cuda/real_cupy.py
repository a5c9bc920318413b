"""The names and signatures of the real CuPy, where it is installed. It can be imported without a GPU.

The stand-in asks `check_call` before each call of a function or method: it exists in CuPy, takes arguments of these names, in
this order, and has NumPy's defaults for the others, as far as both have them. The values of arguments are not checked, nor
operators. Where CuPy is not installed, nothing is checked; but with the environment variable CUPY_CALLS=FILE the calls are
written there, and `python tests/cuda/real_cupy.py FILE` checks them once CuPy is installed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import re
import sys
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
def check_name(path: str) -> None:
    """AttributeError if CuPy has nothing of this name."""
    if cupy is None:
        note(path)
    else:
        find(path)


@functools.cache
def check_call(path: str, positional: int, names: tuple[str, ...]) -> None:
    """TypeError if `path` does not take so many positional arguments (self included) and those of these names.

    TypeError also if NumPy has the positional ones in another order, or another default of one that is not given, or if
    CuPy does not say what it takes; AttributeError if it has no such function.
    """
    if cupy is None:
        note(path, positional, names)
        return
    theirs, numpys = signature(path), _numpys(path)
    if theirs is None:
        raise TypeError(f"CuPy does not say what cupy.{path} takes")
    try:
        given = theirs.bind(*[None] * positional, **dict.fromkeys(names)).arguments
    except TypeError as error:
        raise TypeError(f"cupy.{path}{theirs} does not take these arguments: {error}") from None
    order, numpys_order = (list(known.parameters)[:positional] if known else [] for known in (theirs, numpys))
    if any(name != place and name in theirs.parameters for place, name in zip(order, numpys_order, strict=False)):
        raise TypeError(f"cupy.{path} takes {', '.join(order)}, but NumPy {', '.join(numpys_order)}")
    for name, default in _defaults(numpys).items():
        other = _defaults(theirs).get(name, default)
        if name not in given and name != "subok" and other is not default and other != default:  # CuPy has no subclasses
            raise TypeError(f"by default {name} is {other!r} in cupy.{path}, but {default!r} in NumPy")


def note(*call: Any) -> None:
    if file := os.environ.get("CUPY_CALLS"):
        with open(file, "a") as calls:
            calls.write(json.dumps(call) + "\n")


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


if __name__ == "__main__":
    if cupy is None:
        sys.exit("CuPy is not installed")
    with open(sys.argv[1]) as calls:
        for path, *arguments in map(json.loads, sorted(set(calls))):
            if arguments:
                check_call(path, arguments[0], tuple(arguments[1]))
            else:
                check_name(path)
