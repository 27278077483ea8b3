"""How many threads torch should use: small tensors lose by more than one, on a busy machine tenfold."""

import time
from contextlib import contextmanager

import torch

# Parameters of a network for which a second thread does not pay, unless its tasks are batched.
SMALL_NETWORK = 50_000
# Numbers in the widest layer of a meta-batch that torch divides among threads at all.
DIVIDED = 32_768
# More threads must be that many times faster: what they gain now they may lose when others need the cores.
WORTH = 1.2


@contextmanager
def restored_threads():
    """torch's number of threads afterwards as it was before."""
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def is_small(learner):
    """Whether a network is one for which a second thread does not pay, unless its tasks are batched."""
    return sum(p.numel() for p in learner.parameters()) < SMALL_NETWORK


def choose_threads(net, batch):
    """Set torch's number of threads to one, or leave it where all of them are faster on a meta-batch."""
    learner, strategy = net.module_, net.module_.chosen_strategy()
    if learner.log_inner_lr.device.type != "cpu" or strategy == "loop":
        return
    if strategy == "vmap":
        small = is_small(learner)
    else:
        # Products that are batched over tasks come out the same to the last bit, the sums of a
        # meta-model do not: a result must not depend on which was faster.
        small = learner.meta_model is not None or not _more_are_faster(net, batch)
    if small:
        torch.set_num_threads(1)


def _more_are_faster(net, batch):
    all_threads = torch.get_num_threads()
    rows = batch[0]["support_x"].shape[:2].numel()
    width = max((p.shape[0] for p in net.module_.backbone.parameters()), default=1)
    if all_threads == 1 or rows * width < DIVIDED:
        return False
    seconds = {1: [], all_threads: []}
    for _ in range(3):
        for n in seconds:
            torch.set_num_threads(n)
            seconds[n].append(_seconds_of_step(net, batch))
    return min(seconds[1]) > WORTH * min(seconds[all_threads])


def _seconds_of_step(net, batch):
    start = time.perf_counter()
    net.criterion_(net.module_(**batch[0]), batch[1]).backward()
    net.module_.zero_grad(set_to_none=True)
    return time.perf_counter() - start
