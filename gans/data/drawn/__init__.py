"""Data sets that the program draws: digits, faces, landscapes. What an image shows is known, and nothing is downloaded."""
