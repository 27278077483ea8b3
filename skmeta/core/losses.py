"""Task losses of classes, and the outer objective: the one place where tasks meet.

Leading axes, ``...`` in the shapes, are those of tasks, or none for a task alone.
"""

import torch
from torch import nn
from torch.nn import functional

from skmeta.core.inequality import INEQUALITIES


def cross_entropy(outputs, y, weight):
    """Weighted mean cross-entropy of a task: logits ``(..., n_rows, n_way)``, labels ``(..., n_rows)``."""
    # Classes before rows, as torch takes them, and as a softmax is fast.
    return weighted_mean(functional.cross_entropy(outputs.movedim(-1, 1), y, reduction="none"), weight)


def accuracy(outputs, y, weight):
    """Weighted share of a task's rows whose largest logit is their label's."""
    return weighted_mean((outputs.argmax(-1) == y).to(weight.dtype), weight)


def one_minus(loss, outputs, y, weight):
    """1 - a loss: of the squared error, R² of a task whose targets have a variance of one."""
    return 1 - loss(outputs, y, weight)


def of_query(measure, outcome, target):
    """A loss or score of each task's query set, from what ``MetaLearner`` returned.

    Of outputs that have a variance, it is the surprise of a loss of ``regression_losses``.
    """
    asked = target["query_y"], target["query_weight"]
    if "variance" in outcome:
        return measure.surprise(outcome["outputs"], outcome["variance"], *asked)
    return measure(outcome["outputs"], *asked)


def log_likelihood(loss, outcome, target):
    """Minus the loss, which more of is better: of a surprise, the log likelihood."""
    return -of_query(loss, outcome, target)


def weighted_mean(values, weight):
    """Mean of ``values`` with ``weight``, both ``(..., n_rows)``; a row of weight zero is not looked at."""
    kept = torch.where(weight > 0, values, 0.0)
    return (kept * weight).sum(-1) / weight.sum(-1).clamp_min(torch.finfo(weight.dtype).tiny)


def entropy(outputs):
    """Entropy in nats of each row's class probabilities: ``(..., n_way)`` to ``(...)``."""
    log_p = outputs.movedim(-1, 0).log_softmax(0)  # a softmax over a short last axis is slow
    return -(log_p.exp() * log_p).sum(0)


class OuterObjective(nn.Module):
    """``mean_i L_i(query) + regularizer_weight * R`` over the tasks of a meta-batch.

    ``R`` looks at the model *before* adaptation (Jamal & Qi, CVPR 2019): ``"entropy"`` wants its
    outputs undecided there and decided after; an inequality wants its task losses even.

    Parameters
    ----------
    loss : callable
        A task loss of this module or of ``regression_losses``.
    task_regularizer : None, "entropy" or a key of ``inequality.INEQUALITIES``
    regularizer_weight : float
    """

    def __init__(self, loss, task_regularizer=None, regularizer_weight=1.0):
        super().__init__()
        self.loss = loss
        self.task_regularizer = task_regularizer
        self.regularizer_weight = regularizer_weight

    def forward(self, outcome, target):
        """Scalar objective from what ``MetaLearner`` returned and the query set's labels."""
        if "objective" in outcome:
            return outcome["objective"]
        objective = self.terms(outcome, target).mean()
        if self.weighs_tasks:
            objective = objective + self._of_losses_before(outcome["initial_outputs"], target)
        return objective

    @property
    def weighs_tasks(self):
        """Whether it is more than a mean over tasks."""
        return self.task_regularizer in INEQUALITIES

    def terms(self, outcome, target):
        """Each task's term of the mean, shape ``(...)``."""
        terms = of_query(self.loss, outcome, target)
        if "reptile" in outcome:
            # Reptile's direction is no gradient of the query loss: report one, descend the other.
            direction = outcome["reptile"]
            terms = terms.detach() + direction - direction.detach()
        if self.task_regularizer == "entropy":
            drop = entropy(outcome["outputs"]) - entropy(outcome["initial_outputs"])
            terms = terms + self.regularizer_weight * weighted_mean(drop, target["query_weight"])
        return terms

    def slopes(self, initial_outputs, target):
        """Derivative, by the outputs before adaptation, of what is more than a mean over tasks."""
        outputs = initial_outputs.detach().requires_grad_()
        return torch.autograd.grad(self._of_losses_before(outputs, target), outputs)[0]

    def task_losses(self, outputs, target):
        """Query loss of each task, shape ``(n_tasks,)``."""
        return self.loss(outputs, target["query_y"], target["query_weight"])

    def _of_losses_before(self, initial_outputs, target):
        losses = self.task_losses(initial_outputs, target)
        return self.regularizer_weight * INEQUALITIES[self.task_regularizer](losses)
