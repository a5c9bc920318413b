"""CycleGAN: translation between two domains of images, without a single pair to learn from.

    python -m gans.cyclegan --data FOLDER

trainer.py      the algorithm
image_pool.py   earlier translations that the discriminators also see
config.py       the settings and their presets

The networks are in `gans.networks.translators`.
"""

from gans.cyclegan.config import Config
from gans.cyclegan.trainer import CycleGAN

__all__ = ["Config", "CycleGAN"]
