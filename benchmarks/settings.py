"""How a comparison is made: what is asked on the command line, and handed to both sides' processes."""

from __future__ import annotations

from dataclasses import dataclass, replace

PYTORCH = {
    "eager": "the step as tutorials write it",
    "tuned": "as someone writes it who knows PyTorch",
    "compiled": "the tuned step, its pieces through torch.compile",
}  # the ways PyTorch runs
OP_BY_OP = "op by op"  # our side without captured steps


def side_name(side: str) -> str:
    """Whose side it is, and which way."""
    return {"ours": "minigrad", OP_BY_OP: f"minigrad, {OP_BY_OP}"}.get(side, f"PyTorch {side}")


@dataclass(frozen=True)
class Settings:
    """The same for both sides. The defaults take some ten minutes for everything on two cores."""

    backend: str = "numpy"  # ours; PyTorch's device goes with it
    threads: int = 2
    tf32: bool = False  # on a GPU: products of float32 by both sides with inputs rounded to TF32
    variants: tuple[str, ...] = tuple(PYTORCH)
    seconds: float = 15.0  # for the timing of a case
    rounds: int = 3  # turns of each side, at least
    refill: int = 2  # steps before each turn that are not counted: they fill the caches again
    replayed: int = 5  # steps that both sides must agree on

    @property
    def device(self) -> str:
        """PyTorch's name of the backend."""
        return {"numpy": "cpu", "cupy": "cuda"}[self.backend]

    def quick(self) -> Settings:
        """For a first look."""
        return replace(self, variants=("eager", "tuned"), seconds=0.0, rounds=2, refill=1, replayed=2)
