"""The machinery around an algorithm: command line, loop, run folder, checkpoints. Nothing here knows how any GAN works."""
