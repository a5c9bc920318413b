"""The tests of kernels and engine once more, with the real CuPy on a real GPU. Skipped, saying why, where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from test_conv_kernels import *  # noqa: F403
from test_cublas import *  # noqa: F403
from test_dispatch import *  # noqa: F403
from test_kernels import *  # noqa: F403
from test_norm_kernels import *  # noqa: F403
from test_pool_kernels import *  # noqa: F403

from minigrad import backend

pytestmark = pytest.mark.gpu

if reason := backend.why_no_gpu():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def cupy() -> Any:
    return backend.cupy_module()


@pytest.fixture(scope="module")
def order() -> str:
    """A GPU has its own thread order."""
    return "the GPU's"
