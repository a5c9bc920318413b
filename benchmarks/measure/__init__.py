"""What is measured: training steps, kernels, Python's overhead, cost against size, and start-up."""
