"""An honest comparison with PyTorch: the same work, on the same machine, in turn. `python -m benchmarks` runs it."""
