"""Data sets that the program draws: digits, faces, landscapes. What a picture shows is known, and nothing is downloaded."""
