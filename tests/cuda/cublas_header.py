"""The declarations in cuBLAS's header of what minigrad calls, as cublas_header.json keeps them.

`python tests/cuda/cublas_header.py` writes that file. It needs the package nvidia-cublas, which is large.
"""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_suffix(".json")
FUNCTIONS = "cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasGemmEx", "cublasGemmStridedBatchedEx"
CONSTANTS = (
    "CUBLAS_OP_N", "CUBLAS_OP_T", "CUBLAS_GEMM_DEFAULT",
    "CUBLAS_COMPUTE_32F", "CUBLAS_COMPUTE_64F", "CUBLAS_COMPUTE_32F_FAST_TF32",
)  # fmt: skip


def header() -> Path | None:
    """cublas_api.h of the package nvidia-cublas, if that is installed."""
    package = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (package.submodule_search_locations or ())] if package else []
    return next((path for folder in folders for path in folder.glob("*/include/cublas_api.h")), None)


def declarations(text: str) -> dict[str, Any]:
    """Function -> the C types of its parameters, and constant -> its value."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    functions = {}
    for name in FUNCTIONS:
        (parameters,) = re.findall(rf"CUBLASWINAPI {name}\(([^)]*)\);", text)
        functions[name] = [re.sub(r"\s*\w+$", "", " ".join(each.split())) for each in parameters.split(",")]
    return {"functions": functions, "constants": {name: int(re.findall(rf"\b{name} = (-?\d+)", text)[0]) for name in CONSTANTS}}


if __name__ == "__main__":
    path = header()
    if path is None:
        raise SystemExit("pip install nvidia-cublas")
    about = {"header": f"cublas_api.h of nvidia-cublas {version('nvidia-cublas')}"}
    KEPT.write_text(json.dumps(about | declarations(path.read_text()), indent=1) + "\n")
