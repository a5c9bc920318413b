"""Thread settings that only count if they are made before NumPy and numba load. Imported first, by the package itself.

Matrix products run on OpenBLAS's threads, numba's loops on numba's. Threads that have finished spin for a while in case
more work comes, and so stand in the way of the other pool: a hand-over can cost 8 ms. numba's "workqueue" does not spin,
and OPENBLAS_THREAD_TIMEOUT=4 (2^4 microseconds or so, instead of 2^26 clock ticks) sends OpenBLAS's threads to sleep at once.
Whoever sets these variables keeps their own values.
"""

import os

os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
