"""A file of recorded values, to which new ones are added without changing the others.

A recording is a dictionary of arrays. The file stores each of them as "NAME/KEY", or as "NAME" if the key is "".
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.io.safetensors import CHECKSUM, load_with_metadata

Arrays = dict[str, np.ndarray]


def parse(prog: str, names: Collection[str], argv: Sequence[str] | None = None) -> tuple[list[str], bool]:
    """The names on a command line, and whether --all was given."""
    parser = argparse.ArgumentParser(prog, description="Record what is named, or whatever has no recording yet.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="record these again; every other value stays as it is")
    parser.add_argument("--all", action="store_true", help="record everything again, and drop what is no longer in a table")
    arguments = parser.parse_args(argv)
    if unknown := sorted(set(arguments.names) - set(names)):
        parser.error(f"unknown: {', '.join(unknown)}")
    return arguments.names, arguments.all


def update(
    path: Path,
    makers: Mapping[str, Callable[[], Arrays]],
    names: Collection[str] = (),
    everything: bool = False,
    separator: str = "/",
    made_by: str | None = None,
) -> list[str]:
    """Record the named recordings; without names those that the file lacks, or with `everything` all. Returns their names.

    All other values in the file keep their bits. With `everything`, values that no maker makes are dropped. The versions in
    `made_by` accumulate in the file's metadata under "torch".
    """
    old, metadata = load_with_metadata(path) if path.exists() and not everything else ({}, {})
    owned = {name: [key for key in old if key == name or key.startswith(name + separator)] for name in makers}
    chosen = list(makers) if everything else [name for name in makers if name in names or not (names or owned[name])]
    arrays = {key: a for key, a in old.items() if not any(key in owned[name] for name in chosen)}
    for name in chosen:
        arrays |= {f"{name}{separator}{key}" if key else name: a for key, a in makers[name]().items()}
    if chosen:
        versions = [version for version in metadata.get("torch", "").split(", ") if version]
        kept = {key: value for key, value in metadata.items() if key not in ("torch", CHECKSUM)}
        if made_by:
            kept["torch"] = ", ".join(dict.fromkeys([*versions, made_by]))
        mg.save(path, arrays, kept)
    return chosen
