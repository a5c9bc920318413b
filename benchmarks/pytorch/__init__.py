"""The PyTorch side: a twin of each trainer (same networks, losses and steps) and PyTorch's function for each kernel."""
