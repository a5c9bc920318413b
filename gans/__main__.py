"""List the commands: `python -m gans`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from gans.command import running
from gans.trainers import TRAINERS


def commands() -> dict[str, str]:
    """Every NAME of `python -m gans.NAME` and the first line of its docstring: first the trainers, then the tools."""
    folder = Path(__file__).parent
    files = {path.parent.name: path.parent / "__init__.py" for path in folder.glob("*/__main__.py")}
    files |= {path.stem: path for path in folder.glob("*.py") if 'if __name__ == "__main__":' in path.read_text("utf-8")}
    del files["__main__"]
    names = [*TRAINERS, *sorted(files.keys() - set(TRAINERS))]
    return {name: summary(files[name].read_text("utf-8")) for name in names}


def summary(source: str) -> str:
    """The first line of a module's docstring, up to the command that it may end with. The module is not imported."""
    first, *_ = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    return first.partition(": `python -m")[0].removesuffix(".")


@running("python -m gans")
def main() -> None:
    if unknown := [argument for argument in sys.argv[1:] if argument not in ("-h", "--help")]:
        sys.exit(f"python -m gans: unknown argument {unknown[0]!r}; to run a command, write python -m gans.NAME")
    listed = commands()
    width = max(map(len, listed))
    print("Commands; each takes --help:\n")
    for name, text in listed.items():
        print(f"  python -m gans.{name:<{width}}  {text}")


if __name__ == "__main__":
    main()
