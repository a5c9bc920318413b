"""The trainers again, in PyTorch: the same networks, losses and steps, as its users write them."""
