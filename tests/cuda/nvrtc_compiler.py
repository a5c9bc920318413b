"""Compile CUDA source with NVRTC, NVIDIA's compiler, which needs neither a GPU nor a driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cuda.bindings import nvrtc


class Compiled(NamedTuple):
    code: bytes  # machine code
    log: str  # what the compiler and the assembler print
    symbols: dict[str, str]  # kernel -> its name in the machine code


def compile_cuda(source: str, names: Sequence[str], options: Sequence[str], architecture: str = "sm_90") -> Compiled:
    """RuntimeError with the compiler's messages if there is an error or a warning."""
    program = _check(nvrtc.nvrtcCreateProgram(source.encode(), b"kernel.cu", 0, [], []))
    for name in names:
        _check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
    flags = [flag.encode() for flag in (f"--gpu-architecture={architecture}", *options)]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
    log = _buffer(_check(nvrtc.nvrtcGetProgramLogSize(program)))
    _check(nvrtc.nvrtcGetProgramLog(program, log))
    text = log.rstrip(b"\0").decode()
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS or "warning" in text:
        raise RuntimeError(text)
    symbols = {name: _check(nvrtc.nvrtcGetLoweredName(program, name.encode())).decode() for name in names}
    code = _buffer(_check(nvrtc.nvrtcGetCUBINSize(program)))
    _check(nvrtc.nvrtcGetCUBIN(program, code))
    return Compiled(code, text, symbols)


def _check(answer: tuple) -> Any:
    """The value that an NVRTC call returns, after its error code; RuntimeError if that is an error."""
    error, *values = answer
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(nvrtc.nvrtcGetErrorString(error)[1].decode())
    return values[0] if values else None


def _buffer(size: int) -> bytes:
    """A buffer for NVRTC to write to.

    One byte longer than needed: Python shares bytes objects of length one.
    """
    return bytes(size + 1)
