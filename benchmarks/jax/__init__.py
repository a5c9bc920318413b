"""The JAX side: a twin of each timed trainer (same networks, losses and steps), as one compiled function per step.

The twins are written as an experienced JAX user writes them: the whole step under `jit` with its
state donated, images and kernels channels-last, G's forward computed once, no gradient of D's weights
in G's step, and random numbers drawn within the step by XLA's own generator.
"""
