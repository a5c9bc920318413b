"""The heavy loops, once for each backend: `cpu` (numba) and `gpu` (CUDA).

`reference` has the same functions in plain NumPy: to be read, and as the oracle of the tests.
`interface.py` lists them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # mypy checks each package against the contract; at run time none is imported here
    from minigrad.kernels import cpu, gpu, reference
    from minigrad.kernels.interface import Kernels

    _reference: Kernels = reference
    _cpu: Kernels = cpu
    _gpu: Kernels = gpu
