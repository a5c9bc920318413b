"""What each CUDA kernel needs of a multiprocessor, and how many of its threads that lets run at once, without a GPU.

`python tests/cuda/occupancy.py` compiles all kernels with NVRTC for several GPUs and writes
`minigrad/kernels/gpu/occupancy.md`.

Source of the limits: NVIDIA, CUDA programming guide, "Compute capabilities"; of the rounding: NVIDIA's occupancy calculator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nvrtc_compiler import compile_cuda

TABLE = Path(__file__).parents[2] / "minigrad" / "kernels" / "gpu" / "occupancy.md"
WARP = 32  # threads
QUARTERS = 4  # parts of a multiprocessor; each runs its own warps
REGISTERS, REGISTER_UNIT = 65_536 // QUARTERS, 256  # of a quarter; a warp gets multiples of a unit
INTRODUCTION = """# Occupancy of the CUDA kernels

How many of a multiprocessor's threads can run at once, in percent; then the registers of a thread and, where it is used, the
bytes of shared memory of a block. Blocks have {threads} threads, those of `numbers.cu` {of_numbers}. This is what NVRTC 13.0
compiles, for GPUs from Turing to Blackwell. A test forbids kernels to spill registers to memory, and compares this page, which
`python tests/cuda/occupancy.py` writes.
"""
OTHER_BLOCKS = {"numbers": 64}  # threads in a block, by file; elsewhere `launch.THREADS`


class GPU(NamedTuple):
    """The limits of one multiprocessor."""

    threads: int
    blocks: int
    shared: int  # bytes
    reserved: int  # bytes of shared memory that the system takes from each block
    unit: int = 128  # a block gets multiples of so many bytes of shared memory


GPUS = {
    "sm_75": GPU(1024, 16, 64 << 10, 0, unit=256),
    "sm_80": GPU(2048, 32, 164 << 10, 1 << 10),
    "sm_86": GPU(1536, 16, 100 << 10, 1 << 10),
    "sm_89": GPU(1536, 24, 100 << 10, 1 << 10),
    "sm_90": GPU(2048, 32, 228 << 10, 1 << 10),
    "sm_100": GPU(2048, 32, 228 << 10, 1 << 10),
    "sm_120": GPU(1536, 24, 100 << 10, 1 << 10),
}


class Needs(NamedTuple):
    """What a kernel needs: registers of a thread, bytes of shared memory of a block, bytes of registers spilled to memory."""

    registers: int
    shared: int
    spilled: int


def occupancy(needs: Needs, threads: int, gpu: GPU) -> float:
    """The share of a multiprocessor's threads that can run at once, in blocks of so many threads."""
    warps = -(-threads // WARP)
    units = -(-needs.registers * WARP // REGISTER_UNIT) * REGISTER_UNIT  # registers of a warp
    shared = -(-(needs.shared + gpu.reserved) // gpu.unit) * gpu.unit
    limits = [gpu.blocks, gpu.threads // (warps * WARP), REGISTERS // units * QUARTERS // warps]
    if shared:
        limits.append(gpu.shared // shared)
    return min(limits) * warps * WARP / gpu.threads


def needs_of(launch: Any, architecture: str) -> dict[str, Needs]:
    """Kernel -> its needs, by what NVIDIA's assembler reports."""
    found = {}
    for file, names in launch.KERNELS.items():
        compiled = compile_cuda(launch.source(file), names, (*launch.OPTIONS, "--ptxas-options=-v"), architecture)
        reports = re.split(r"Compiling entry function '(\w+)'", compiled.log)[1:]
        by_symbol = {symbol: _needs(report) for symbol, report in zip(reports[::2], reports[1::2], strict=True)}
        found |= {f"{file}: {name}": by_symbol[symbol] for name, symbol in compiled.symbols.items()}
    return found


def _needs(report: str) -> Needs:
    def number(pattern: str) -> int:
        match = re.search(pattern, report)
        return int(match[1]) if match else 0

    return Needs(number(r"Used (\d+) registers"), number(r"(\d+) bytes smem"), number(r"(\d+) bytes spill stores"))


def table(needs: Mapping[str, Mapping[str, Needs]], threads: int) -> str:
    """The page: a row for each kernel, a column for each GPU."""
    head = f"| kernel | {' | '.join(GPUS)} |", f"| --- | {' | '.join('---' for _ in GPUS)} |"
    lines = [INTRODUCTION.format(threads=threads, of_numbers=OTHER_BLOCKS["numbers"]), *head]
    for kernel in next(iter(needs.values())):
        cells = [_cell(needs[name][kernel], OTHER_BLOCKS.get(kernel.partition(":")[0], threads), GPUS[name]) for name in GPUS]
        lines.append(f"| `{kernel}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(needs: Needs, threads: int, gpu: GPU) -> str:
    shared = f", {needs.shared}" if needs.shared else ""
    return f"{100 * occupancy(needs, threads, gpu):.0f}; {needs.registers}{shared}"


def main() -> None:
    import fake_cupy

    from minigrad.arrays import backend

    with fake_cupy.installed():
        launch = backend.kernels_named("cupy").launch
        TABLE.write_text(table({name: needs_of(launch, name) for name in GPUS}, launch.THREADS))


if __name__ == "__main__":
    main()
