"""How many threads torch should use: small tensors lose by more than one, on a busy machine tenfold.

The number follows from settings alone. To try which is faster would make results depend on the clock, since
sums that are divided among threads differ in their last bits; and a run that is resumed must go on alike.
"""

from contextlib import contextmanager

import torch

# Numbers in the widest layer, of all rows of a meta-batch, that are work for a thread. A fifth of that gains
# as much by a second thread, a factor of 1.4, where no other program runs, but where one does it loses a
# factor of 2 to 8; so it takes work for which waiting is worth the risk.
FOR_A_THREAD = 524_288


@contextmanager
def restored_threads():
    """torch's number of threads afterwards as it was before."""
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def choose_threads(learner, n_rows):
    """Set torch's number of threads to what the ``n_rows`` of a meta-batch are work for, but to no more.

    On a CPU, and where all tasks are computed together; in a loop, the threads share each task.
    """
    if learner.log_inner_lr.device.type != "cpu" or learner.chosen_strategy() == "loop":
        return
    width = max((p.shape[0] for p in learner.backbone.parameters() if p.ndim), default=1)
    wanted = round(n_rows * width / FOR_A_THREAD)
    torch.set_num_threads(max(1, min(torch.get_num_threads(), wanted)))
