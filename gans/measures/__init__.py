"""How good generated images are: how far they are from real ones, how varied, and whether they are copies."""
