"""Record PyTorch's values of ops and optimizers for the tests, in the .safetensors files beside this script.

    python tests/reference/record.py             what has no recording yet: run it after adding a case to a table
    python tests/reference/record.py NAME ...    a function, one of its cases ("pad/reflect") or an optimizer setting
    python tests/reference/record.py --all       everything

All other values keep their bits. Needs PyTorch; 2.13.0 made the files in the repository.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from reference import op_cases, optim_cases, recordings

HERE = Path(__file__).parent


def main(argv: Sequence[str] | None = None, folder: Path = HERE) -> None:
    import torch

    cases = {case.name: case for case in op_cases.CASES}
    functions = {case.function for case in op_cases.CASES}
    names, everything = recordings.parse("record.py", {*cases, *functions, *optim_cases.SETTINGS}, argv)
    of_ops = [name for name, case in cases.items() if {name, case.function} & set(names)]
    of_optimizers = [name for name in optim_cases.SETTINGS if name in names]
    made: list[str] = []
    if of_ops or not names:
        makers = {name: functools.partial(op_cases.run_torch, case) for name, case in cases.items()}
        made += recordings.update(folder / "ops.safetensors", makers, of_ops, everything, made_by=torch.__version__)
    if of_optimizers or not names:
        paths = {name: functools.partial(_path, setting) for name, setting in optim_cases.SETTINGS.items()}
        made += recordings.update(folder / "optim.safetensors", paths, of_optimizers, everything, made_by=torch.__version__)
    print(f"recorded: {', '.join(made) or 'nothing, all is there'}")


def _path(setting: optim_cases.Setting) -> recordings.Arrays:
    return {"": optim_cases.run_torch(setting)}


if __name__ == "__main__":
    main()
