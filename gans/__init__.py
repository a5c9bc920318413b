"""GANs trained with minigrad, one algorithm a file: `python -m gans` lists them."""

import minigrad  # noqa: F401  before anything imports NumPy, whose threads `minigrad.tuning` sets up
