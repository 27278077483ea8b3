"""Settings for all tests: one thread a process, as many processes as pyproject.toml says."""

import os

# Two threads on tiny tensors were many times slower than one. BLAS and OpenMP read it as they are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Files with long tests go first, so that no process waits for the last of them."""
    first = "test_sklearn", "test_examples", "test_text", "test_learning", "test_regressors", "test_few_shot"
    items.sort(key=lambda item: item.path.stem not in first)
