"""How fast this engine is compared with PyTorch: `python -m benchmarks`."""

import os
import signal
import sys

ENVIRONMENT = dict(os.environ)  # as the user set it: importing minigrad adds settings that PyTorch must not inherit

if getattr(sys, "argv", [])[:1] == ["-m"]:  # `python -m benchmarks` has just begun: Ctrl-C needs no traceback of its imports
    signal.signal(signal.SIGINT, signal.SIG_DFL)
