"""What surrounds an algorithm: command line, training loop, run folder, checkpoints. No losses and no training steps."""
