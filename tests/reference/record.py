"""Records PyTorch's values for the tests: `python tests/reference/record.py` writes the .safetensors files beside it.

Needs PyTorch (2.13.0 made the files in the repository). Run it again when a case is added to a table; the tests say when.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from reference import op_cases, optim_cases

import minigrad as mg

HERE = Path(__file__).parent


def main() -> None:
    made_by = {"torch": torch.__version__}
    ops = {f"{case.name}/{key}": a for case in op_cases.CASES for key, a in op_cases.run_torch(case).items()}
    mg.save(HERE / "ops.safetensors", ops, made_by)
    paths = {name: optim_cases.run_torch(setting) for name, setting in optim_cases.SETTINGS.items()}
    mg.save(HERE / "optim.safetensors", paths, made_by)


if __name__ == "__main__":
    main()
