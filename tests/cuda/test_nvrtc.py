"""NVRTC, NVIDIA's compiler, compiles every kernel. It needs neither a GPU nor a driver."""

from __future__ import annotations

from typing import Any

import pytest

from minigrad.arrays import backend

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="pip install 'minigrad[nvrtc]' to compile the kernels with NVRTC")


def check(answer: tuple) -> Any:
    """The value that an NVRTC call returns, after its error code; RuntimeError if that is an error."""
    error, *values = answer
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(nvrtc.nvrtcGetErrorString(error)[1].decode())
    return values[0] if values else None


def buffer(size: int) -> bytes:
    """A buffer for NVRTC to write to.

    One byte longer than needed: Python shares bytes objects of length one.
    """
    return bytes(size + 1)


def compile_cuda(source: str, names: list[str], options: tuple[str, ...], architecture: str = "sm_90") -> bytes:
    """Machine code with these kernels; RuntimeError with the compiler's messages."""
    program = check(nvrtc.nvrtcCreateProgram(source.encode(), b"kernel.cu", 0, [], []))
    for name in names:
        check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
    flags = [flag.encode() for flag in (f"--gpu-architecture={architecture}", *options)]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
    log = buffer(check(nvrtc.nvrtcGetProgramLogSize(program)))
    check(nvrtc.nvrtcGetProgramLog(program, log))
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS or b"warning" in log:
        raise RuntimeError(log.decode())
    for name in names:
        check(nvrtc.nvrtcGetLoweredName(program, name.encode()))
    code = buffer(check(nvrtc.nvrtcGetCUBINSize(program)))
    check(nvrtc.nvrtcGetCUBIN(program, code))
    return code


def test_every_kernel_compiles(cupy: Any) -> None:
    launch = backend.kernels_named("cupy").launch
    for file, names in launch.KERNELS.items():
        code = compile_cuda(launch.source(file), names, launch.OPTIONS)
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
