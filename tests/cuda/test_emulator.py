"""The emulator runs CUDA like a GPU, and detects mistakes that would fail on one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cuda_emulator
import numpy as np
import pytest
from cuda_emulator import EmulatorError, Module

if reason := cuda_emulator.why_not():
    pytest.skip(reason, allow_module_level=True)

EXAMPLES = Path(__file__).with_name("emulator_examples.cu")
SOURCE = EXAMPLES.read_text()
KERNELS = [
    "block_sum<float>", "shared_tile", "warp_functions", "atomics", "intrinsics", "half_waits", "two_barriers",
    "reads_absent_lane", "writes_outside", "matrix_product",
]  # fmt: skip


@pytest.fixture(scope="module")
def module() -> Module:
    return Module(SOURCE, name_expressions=KERNELS)


def block_sums(module: Module) -> np.ndarray:
    x, out = np.arange(128, dtype=np.float32), np.zeros(2, np.float32)
    module.get_function("block_sum<float>")((2,), (64,), (x, out), shared_mem=4 * 64)
    return out


def test_dynamic_shared_memory(module: Module, order: str) -> None:
    np.testing.assert_array_equal(block_sums(module), [2016, 6112])


def test_a_missing_barrier_gives_a_wrong_result_in_some_order() -> None:
    broken = Module(SOURCE, ["-DFORGET_BARRIER"], KERNELS)
    wrong = []
    for order in cuda_emulator.ORDERS:
        with cuda_emulator.thread_order(order):
            wrong.append(not np.array_equal(block_sums(broken), [2016, 6112]))
    assert any(wrong)


def test_static_shared_memory(module: Module, order: str) -> None:
    x, out = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    module.get_function("shared_tile")((1,), (8, 8), (x, out))
    np.testing.assert_array_equal(out.reshape(8, 8), x.reshape(8, 8).T)


def test_warp_functions(module: Module, order: str) -> None:
    x, out = np.arange(64, dtype=np.int32), np.zeros((64, 7), np.int32)
    module.get_function("warp_functions")((1,), (64,), (x, out))
    lane = x % 32
    np.testing.assert_array_equal(out[:, 0], x - lane + 5)
    np.testing.assert_array_equal(out[:, 1], x ^ 1)
    np.testing.assert_array_equal(out[:, 2], np.where(lane < 29, x + 3, x))
    np.testing.assert_array_equal(out[:, 3], np.where(lane % 8 >= 3, x - 3, x))
    np.testing.assert_array_equal(out[:, 4], sum(1 << i for i in range(0, 32, 3)))
    np.testing.assert_array_equal(out[:, 5], np.where(x < 32, 3, 2))
    np.testing.assert_array_equal(out[:, 6], np.where(lane < 8, x ^ 2, -1))


def test_atomics(module: Module, order: str) -> None:
    total, total_halves, largest = np.zeros(1, np.int32), np.zeros(1, np.float32), np.zeros(1, np.uint32)
    module.get_function("atomics")((3,), (50,), (total, total_halves, largest))
    assert (total[0], total_halves[0], largest[0]) == (150, 75, 149)


def test_intrinsics(module: Module) -> None:
    out = np.zeros(4, np.float32)
    module.get_function("intrinsics")((1,), (1,), (out,))
    np.testing.assert_allclose(out, [np.e, 0.5, 3, np.pi], rtol=1e-6)


def test_tensor_core_product(module: Module, order: str) -> None:
    rng = np.random.default_rng(0)
    a, b, d = (rng.integers(-8, 8, shape).astype(np.float32) for shape in [(16, 8), (8, 8), (16, 8)])
    expected = d + a @ b
    module.get_function("matrix_product")((1,), (32,), (a, b, d))
    np.testing.assert_array_equal(d, expected)  # small integers are exact in TF32


def test_tensor_core_inputs_have_ten_bits(module: Module) -> None:
    a, b, d = np.zeros((16, 8), np.float32), np.zeros((8, 8), np.float32), np.zeros((16, 8), np.float32)
    a[0, 0], b[0, 0] = 1 + 2.0**-11, 1
    module.get_function("matrix_product")((1,), (32,), (a, b, d))
    assert d[0, 0] == 1 + 2.0**-10


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("half_waits", "32 have returned; 32 wait for the block at line"),
        ("two_barriers", "32 wait for the block at line .* 32 wait for the block at line"),
    ],
)
def test_divergent_barriers_are_reported(module: Module, order: str, kernel: str, message: str) -> None:
    with pytest.raises(EmulatorError, match=message):
        module.get_function(kernel)((1,), (64,), ())


def test_a_shuffle_from_an_absent_lane_is_reported(module: Module) -> None:
    with pytest.raises(EmulatorError, match="lane 20"):
        module.get_function("reads_absent_lane")((1,), (32,), (np.zeros(16, np.int32),))


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros(1, np.float32), 3),  # 8 bytes
        (np.zeros(1, np.float32), np.float32(3)),
        (np.zeros(1, np.float64), np.int32(3)),
        (np.zeros(1, np.float32),),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(module: Module, arguments: tuple) -> None:
    with pytest.raises(EmulatorError, match=r"takes \(f4\*, i4\)"):
        module.get_function("writes_outside")((1,), (1,), arguments)


def test_launches_that_no_gpu_accepts_are_refused(module: Module) -> None:
    kernel = module.get_function("half_waits")
    for grid, block, shared_bytes in [((0,), (1,), 0), ((1,), (1025,), 0), ((1, 65536), (1,), 0), ((1,), (1,), 50_000)]:
        with pytest.raises(EmulatorError):
            kernel(grid, block, (), shared_mem=shared_bytes)


def test_compiler_errors_name_the_line_of_the_source() -> None:
    with pytest.raises(EmulatorError, match=r"kernel\.cu:2"):
        Module('extern "C" __global__ void broken(float* x) {\n y[0] = 1; }')


def run_sanitized(program: str) -> subprocess.CompletedProcess[str]:
    """Run Python code with AddressSanitizer loaded; skip if it is not installed."""
    library = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not Path(library).is_file():
        pytest.skip("AddressSanitizer (libasan) is not installed")
    folder = Path(__file__).parent
    environment = {
        **os.environ,
        "LD_PRELOAD": os.path.realpath(library),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder.parents[1])]),
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("n", [0, 3])
def test_writes_outside_an_array_are_caught(n: int) -> None:
    program = f"""
import pathlib, numpy as np
from cuda_emulator import Module
module = Module(pathlib.Path({str(EXAMPLES)!r}).read_text(), name_expressions={KERNELS!r}, sanitize=True)
module.get_function("writes_outside")((1,), (32,), (np.zeros(32, np.float32), np.int32({n})))
"""
    result = run_sanitized(program)
    if n == 0:
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0
        assert "heap-buffer-overflow" in result.stderr
        assert "writes_outside" in result.stderr


def test_our_kernels_stay_inside_their_arrays() -> None:
    result = run_sanitized(Path(__file__).with_name("sanitized_run.py").read_text())
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "all kernels ran"
