"""NVRTC, NVIDIA's compiler, compiles every kernel for GPUs of seven kinds. It needs neither a GPU nor a driver."""

from __future__ import annotations

from typing import Any

import pytest

from minigrad.arrays import backend

pytest.importorskip("cuda.bindings.nvrtc", reason="pip install 'minigrad[nvrtc]' to compile the kernels with NVRTC")

import occupancy
from nvrtc_compiler import compile_cuda
from occupancy import GPUS, Needs


def test_every_kernel_compiles(cupy: Any) -> None:
    launch = backend.kernels_named("cupy").launch
    for file, names in launch.KERNELS.items():
        code = compile_cuda(launch.source(file), names, launch.OPTIONS).code
        assert code.startswith(b"\x7fELF")
        for name in names:
            assert name.partition("<")[0].encode() in code


def test_every_file_is_listed(cupy: Any) -> None:
    from importlib.resources import files

    launch = backend.kernels_named("cupy").launch
    folder = files("minigrad.kernels") / "gpu"
    assert {f"{file}.cu" for file in launch.KERNELS} == {file.name for file in folder.iterdir() if file.name.endswith(".cu")}


def test_compiler_errors_are_reported() -> None:
    with pytest.raises(RuntimeError, match=r'kernel\.cu\(2\): error: identifier "y" is undefined'):
        compile_cuda("__global__ void broken(float* x) {\n y[0] = 1; }", ["broken"], ())


class TestOccupancy:
    def test_no_kernel_spills_registers_and_the_page_of_occupancies_is_up_to_date(self, cupy: Any) -> None:
        launch = backend.kernels_named("cupy").launch
        needs = {architecture: occupancy.needs_of(launch, architecture) for architecture in GPUS}
        spilled = {(gpu, kernel) for gpu, found in needs.items() for kernel, each in found.items() if each.spilled}
        assert not spilled
        assert all(each.registers for found in needs.values() for each in found.values())
        page = occupancy.TABLE.read_text(encoding="utf-8")
        assert occupancy.table(needs, launch.THREADS) == page, "if it is meant: python tests/cuda/occupancy.py"

    def test_a_kernel_that_spills_is_seen(self) -> None:
        source = """__global__ __launch_bounds__(1024) void many(float* x) {
            float v[200];
            for (int i = 0; i < 200; i++) v[i] = x[i * 1024 + threadIdx.x];
            __syncthreads();
            #pragma unroll
            for (int i = 0; i < 200; i++) x[i * 1024 + threadIdx.x] = v[199 - i] * v[(i * 7) % 200];
        }"""
        log = compile_cuda(source, ["many"], ["--ptxas-options=-v"]).log
        assert occupancy._needs(log).spilled > 0

    @pytest.mark.parametrize(
        ("needs", "threads", "gpu", "share"),
        [
            (Needs(32, 0, 0), 256, "sm_90", 1.0),  # 65,536 registers are 32 for each of 2,048 threads
            (Needs(33, 0, 0), 256, "sm_90", 0.75),  # 40, as they come in units of 8: 6 blocks of 8
            (Needs(32, 40 << 10, 0), 256, "sm_90", 5 / 8),  # 5 blocks of 41 KB in 228
            (Needs(16, 0, 0), 32, "sm_80", 0.5),  # at most 32 blocks, of one warp each
            (Needs(40, 0, 0), 64, "sm_90", 0.75),  # 12 warps in each quarter, with 1,280 of its 16,384 registers each
            (Needs(64, 0, 0), 256, "sm_75", 1.0),  # half as many threads, as many registers
        ],
    )  # fmt: skip
    def test_occupancy_is_that_of_the_scarcest_resource(self, needs: Needs, threads: int, gpu: str, share: float) -> None:
        assert occupancy.occupancy(needs, threads, GPUS[gpu]) == share
