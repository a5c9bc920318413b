"""GANs trained with minigrad, one algorithm a file: `python -m gans` lists them."""

import sys

from gans import command

if getattr(sys, "argv", [])[:1] == ["-m"]:  # `python -m gans.NAME` has just begun
    command.handle_signals(command.end_at_once)

import minigrad  # noqa: F401  before anything imports NumPy, whose threads `minigrad.tuning` sets up
