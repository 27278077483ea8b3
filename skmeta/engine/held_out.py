"""What held-out tasks say of each state of a run."""

import math

import torch
from skorch.callbacks import Callback


def is_surely_better(gain, n_units, least=0.0):
    """Whether the mean ``gain`` of a state over the one before the first step is more than ``least``.

    And than half a standard error: what started is not the best of many, as a later state is.
    """
    return bool(gain.mean() > max(least, gain.std() / n_units**0.5 / 2))


class HeldOutScores(Callback):
    """Scores the same held-out episodes before the first step and after each epoch.

    A run ends where the best of the mean scores is ``patience`` epochs old.

    Parameters
    ----------
    score : callable
        ``score(outcome, target)`` of a meta-batch, shape (n_tasks, n_scores).
    patience : int
    tol : float
        What a mean score must gain to be the best.
    with_start : bool
        Whether the one before the first step may be.

    Attributes
    ----------
    source : EpisodeSource
        The episodes, to be set before the run.
    scores_ : list of Tensor
        Of each look, shape (n_episodes, n_scores).
    is_done_ : bool
        Whether the run was ended here; if not, by its number of steps, or by Ctrl-C.
    """

    def __init__(self, score, patience, tol=0.0, with_start=True):
        self.score, self.patience, self.tol, self.with_start = score, patience, tol, with_start

    def initialize(self):
        self.scores_, self.is_done_, self.best_, self.misses_ = [], False, -math.inf, 0
        return self

    def on_train_begin(self, net, **kwargs):
        score = self._look(net)
        if self.with_start:
            self.best_ = score

    def on_epoch_end(self, net, **kwargs):
        score = self._look(net)
        better = score > self.best_ + self.tol
        self.best_, self.misses_ = (score, 0) if better else (self.best_, self.misses_ + 1)
        if self.misses_ >= self.patience:
            self.is_done_ = True
            raise KeyboardInterrupt  # the way to end a run of skorch

    def _look(self, net):
        batches = net.get_iterator(self.source, training=False)
        scores = [self.score(net.validation_step(batch)["y_pred"], batch[1]) for batch in batches]
        self.scores_.append(torch.cat(scores).detach().cpu().nan_to_num(nan=-math.inf, neginf=-math.inf))
        return self.scores_[-1].mean(0).max().item()
