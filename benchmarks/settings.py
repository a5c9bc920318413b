"""What is compared, and how: the names of the sides and the settings of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

PYTORCH = {
    "eager": "the step as tutorials write it",
    "tuned": "the step as an experienced PyTorch user writes it",
    "compiled": "the tuned step with its parts compiled by torch.compile",
}  # PyTorch's variants
OURS, OP_BY_OP = "ours", "op by op"  # our steps captured, as the commands of gans run them, and without capture
JAX = "jax"  # its whole step compiled
SIDES = (OURS, OP_BY_OP, *PYTORCH, JAX)


def side_name(side: str) -> str:
    """The name of a side in tables."""
    return {OURS: "minigrad", OP_BY_OP: f"minigrad, {OP_BY_OP}", JAX: "JAX"}.get(side, f"PyTorch {side}")


@dataclass(frozen=True)
class Settings:
    """The same for both sides. With the defaults a full run takes some ten minutes on two cores."""

    backend: str = "numpy"  # ours; PyTorch's device follows from it
    threads: int = 2
    isa: str = "native"  # the instruction set that no side exceeds: a key of `isa.NEEDS`
    jax: bool = False  # whether JAX is compared as well
    tf32: bool = False  # on a GPU: both sides round the inputs of float32 products to TF32
    seconds: float = 15.0  # for the timing of a case
    rounds: int = 3  # turns of each side, at least
    refill: int = 2  # untimed steps before each turn, which fill the caches again; none if a step is long
    patience: float = 600.0  # seconds; a side that takes longer for one answer counts as failed
    compared: int = 5  # steps in which all sides must compute the same losses
    warm_up: int = 4  # untimed steps at first, of ours at least as many as capturing takes

    @property
    def device(self) -> str:
        """PyTorch's name of the backend."""
        return {"numpy": "cpu", "cupy": "cuda"}[self.backend]

    @property
    def is_quick(self) -> bool:
        """Only the two sides that matter most are compared."""
        return self.seconds == 0

    def quick(self) -> Settings:
        """Fewer steps and turns, for a first look."""
        return replace(self, seconds=0.0, rounds=2, refill=1, compared=1, warm_up=0, jax=False)
