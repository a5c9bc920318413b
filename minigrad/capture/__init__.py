"""Captured training steps: run once under observation, then replayed without running their Python again.

README.md in this folder says how.

step = Captured(trainer.step)
metrics = step(batch)  # the same numbers as trainer.step(batch), sooner
"""

from minigrad.capture.captured import WARM_UP, Captured

__all__ = ["WARM_UP", "Captured"]
