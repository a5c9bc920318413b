"""How fast this engine is compared with PyTorch: `python -m benchmarks`."""
