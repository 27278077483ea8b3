"""torch's global random generators, lent to one thread at a time and given back as they were."""

import threading
from contextlib import contextmanager

import torch

# Reentrant: what is made or trained under it may itself train an estimator.
_lock = threading.RLock()


@contextmanager
def own_random_state(seed, device):
    """torch's generators of the CPU and of ``device`` seeded inside, and afterwards as they were.

    All threads share these generators, so one thread is inside at a time. Yields a function that tells
    whether any of them has been drawn from since.
    """
    cuda = [device] if device.type == "cuda" else []
    with _lock, torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)

        def states():
            return [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in cuda)]

        seeded = states()
        yield lambda: not all(map(torch.equal, states(), seeded))
