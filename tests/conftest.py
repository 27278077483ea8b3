"""Settings for all tests: one thread a process, as many processes as pyproject.toml says."""

import os

# Two threads on tiny tensors were many times slower than one. BLAS and OpenMP read it as they are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
