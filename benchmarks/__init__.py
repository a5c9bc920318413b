"""How fast this engine is compared with PyTorch: `python -m benchmarks`."""

import os

ENVIRONMENT = dict(os.environ)  # as the user set it: importing minigrad adds settings that PyTorch must not inherit
