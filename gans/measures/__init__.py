"""How good generated images are, where there is a ground truth to compare them with."""
