"""Settings for all tests."""

import torch

# Two threads on tiny tensors were many times slower than one.
torch.set_num_threads(1)
