"""How good generated images are, where there is something to measure them by."""
