"""Where arrays live and how they lie in memory: the layer below the engine.

`backend` chooses between NumPy and CuPy, `gpu` says why there is no usable GPU, `layout` knows about
channels-last memory, and `hooks` is the one interface to captured steps.
"""
