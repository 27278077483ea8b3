"""What held-out tasks say of each state of a run."""

import math

import torch
from skorch.callbacks import Callback


class HeldOutScores(Callback):
    """Scores the same held-out episodes before the first step and after each epoch.

    A run ends where the best of the mean scores is ``patience`` epochs old.

    Parameters
    ----------
    score : callable
        ``score(outcome, target)`` of a meta-batch, shape (n_tasks, n_scores).
    patience : int

    Attributes
    ----------
    source : EpisodeSource
        The episodes, to be set before the run.
    scores_ : list of Tensor
        Of each look, shape (n_episodes, n_scores).
    """

    def __init__(self, score, patience):
        self.score, self.patience = score, patience

    def initialize(self):
        self.scores_ = []
        return self

    def on_train_begin(self, net, **kwargs):
        self._look(net)

    def on_epoch_end(self, net, **kwargs):
        self._look(net)
        tops = [scores.mean(0).max().item() for scores in self.scores_]
        if len(tops) - 1 - tops.index(max(tops)) >= self.patience:
            raise KeyboardInterrupt  # the way to end a run of skorch

    def _look(self, net):
        batches = net.get_iterator(self.source, training=False)
        scores = [self.score(net.validation_step(batch)["y_pred"], batch[1]) for batch in batches]
        self.scores_.append(torch.cat(scores).detach().cpu().nan_to_num(nan=-math.inf))
