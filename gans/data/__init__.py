"""The data that trainers learn from: readers, downloads, batches, and synthetic data sets."""
