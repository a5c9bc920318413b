"""The data the trainers learn from: readers, downloads and synthetic stand-ins."""
