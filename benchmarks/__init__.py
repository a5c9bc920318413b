"""Honest comparisons with PyTorch."""
