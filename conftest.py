"""Settings of all tests, which must be made before NumPy is imported."""

import os

# Several processes run tests beside each other, and the threads of their BLAS libraries would wait for each
# other: one test took 24 seconds instead of 3.
os.environ.setdefault("OMP_NUM_THREADS", "1")
