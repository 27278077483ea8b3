"""The regressors: targets to values of the order of one, and back."""

from dataclasses import dataclass
from functools import partial
from numbers import Real

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from skmeta.core.heads import LinearHead
from skmeta.core.losses import one_minus
from skmeta.core.posterior import GaussianHead
from skmeta.core.regression_losses import (
    AbsoluteError,
    Huber,
    Poisson,
    Quantile,
    RegressionLoss,
    squared_error,
)
from skmeta.core.reweighted import PoissonHead, ReweightedHead
from skmeta.estimators.auto import THROUGH_STEPS, chosen_head, chosen_shots
from skmeta.estimators.base import MetaEstimator
from skmeta.estimators.reading import Rates, ScaledTargets
from skmeta.parameter_rules import Number, check_value
from skmeta.tasks.batch import Values
from skmeta.tasks.split import usable_rows
from skmeta.tasks.targets import AsTheyAre, CommonScale, TargetScaler, are_alike, moments, robust_moments
from skmeta.tasks.weights import ones_if_none

# What the sum of counts is taken to be more, so that it has a logarithm.
HALF_A_COUNT = 0.5
LOSSES = {
    "squared_error": squared_error,
    "huber": Huber(),
    "absolute_error": AbsoluteError(),
    "poisson": Poisson(),
}


@dataclass
class TargetPlan:
    """How a fit reads the targets, shape (n_rows, n_outputs), of tasks numbered by ``task``.

    ``rows`` are those of tasks that can give an episode. ``weight`` is what each row counts; None is one.
    ``n_centers`` are those of the kernel that the start has, if any. ``log_rate`` is the logarithm of the
    mean of targets that are rates, where outputs start.
    """

    targets: torch.Tensor
    task: np.ndarray
    rows: np.ndarray
    one_task: bool
    head: str
    loss: RegressionLoss
    shots: dict
    weight: np.ndarray | None
    scaler: TargetScaler | CommonScale | AsTheyAre | None = None
    spread: torch.Tensor | None = None
    log_rate: torch.Tensor | None = None
    n_centers: int = 0

    n_way = None
    classes_are_own, start_suffices = False, True
    # A task on which the inner loop explodes would else undo a hundred steps: on sinusoids, ten support
    # rows, two seeds, TAML reached an R² of .94 and .98 with it, .92 and .68 without.
    gradient_clip = 1.0
    # A squared error has no largest gradient, so a task unlike the others can explode when it is adapted to.
    # On curves over time, five support rows, ten inner steps, one seed, mean errors with bounds of 3, 10, 30
    # and none were .69, .31, .31 and not finite (TAML), .45, 1.72, .39 and .38 (TMAML).
    largest_inner_gradient = 30.0

    @property
    def suits_kernel(self):
        """Whether a kernel may be found by targets as if these were normal."""
        return self.loss == squared_error

    @property
    def measure(self):
        return partial(one_minus, self.loss)

    @property
    def codes(self):
        return np.zeros(len(self.task), dtype=np.int64)

    @property
    def labels(self):
        return Values(self.scaler, self.spread)

    def learn(self, rows):
        """Level and scale of the targets, from training ``rows`` alone."""
        is_training = np.isin(np.arange(len(self.task)), rows)
        # The rows of a single task may be on both sides.
        key, part, counts = np.unique(2 * self.task + is_training, return_inverse=True, return_counts=True)
        order = torch.as_tensor(np.argsort(part, kind="stable"))
        weight = ones_if_none(self.weight, len(order))
        in_parts = (values[order].split(counts.tolist()) for values in (self.targets, weight))
        of_task = robust_moments if self.loss.is_robust else moments
        each = [of_task(*part) for part in zip(*in_parts, strict=True)]
        all_moments = [torch.stack(values) for values in zip(*each, strict=True)]
        if self.scaler is None:
            trained = torch.as_tensor(key % 2 == 1)
            self.scaler = self._scaler([values[trained] for values in all_moments], of_task)
        if self.loss.of_rates:
            of_rows = ones_if_none(self.weight, len(order))[rows]
            total = (self.targets[rows] * of_rows[:, None]).sum(0)
            self.log_rate = ((total + HALF_A_COUNT) / of_rows.sum()).log()
        _, scale = self.scaler.from_moments(*all_moments)
        self.spread = scale[torch.as_tensor(part)]

    def _scaler(self, of_training, of_task):
        if self.loss.of_rates:
            return AsTheyAre()
        scaler = TargetScaler(*of_training, of_task)
        if self.head == "posterior" and are_alike(scaler):
            return CommonScale(*of_training)
        return scaler

    def make_head(self, n_features):
        size = n_features, self.targets.shape[1]
        if self.head != "posterior":
            return LinearHead(*size, self.log_rate)
        if self.loss.of_rates:
            return PoissonHead(*size, self.log_rate)
        return GaussianHead(*size) if self.loss == squared_error else ReweightedHead(*size, self.loss)


class MetaRegressor(RegressorMixin, MetaEstimator):
    """Base of the regressors.

    Parameters
    ----------
    head : {"auto", "linear", "posterior"}
        The last layer of a task. ``"linear"``: learned, and adapted by the inner loop. ``"posterior"``: the
        posterior of a Gaussian prior that is learned over the tasks, given the support set; it starts as a
        linear mixed model of the features, and tells deviations and intervals. ``"auto"``: posterior for
        the default network, learned through the inner loop and without a ``task_regularizer``; else linear.
    loss : {"squared_error", "huber", "absolute_error", "quantile", "poisson"}
        Of a task's rows, in both loops. ``"huber"``: a wrong row among the support rows counts little; its
        threshold is 1.345 deviations of the noise with the posterior head, of the task's targets with the
        linear one. ``"absolute_error"``: what is predicted is the median. ``"quantile"``: a quantile, without
        deviations. ``"poisson"``: counts, or other targets of 0 or more; their logarithms are linear in the
        features, and rates may vary from row to row. But for the squared error, the posterior head takes
        eight steps of weighted ridge regression, of quantiles twenty or more, and its prior is found by
        training episodes, without a kernel.
    quantile : float in (0, 1)
        What is predicted with ``loss="quantile"``.
    n_shot : int, tuple (least, most) or "auto"
        Support rows of a task in an episode. With a pair it varies in training, from the least to the most,
        small numbers as often as large ones. Of a task with fewer than ``n_shot + 1`` rows, half are support.
        ``"auto"`` is (1, 30) with the posterior head, else 5.
    n_query : int
        Query rows of a task in an episode.

    Attributes
    ----------
    validation_scores_ : list of float
        Mean of 1 - loss on the held-out episodes at each epoch, of the squared error in units of each task's
        variance, or log likelihood with the posterior head (or 1 - loss, of quantiles), of folds calibrated;
        empty without early stopping.
    """

    score = MetaEstimator.score  # of tasks too; RegressorMixin's knows rows only
    _least_to_score = 2  # R² of one row is not defined
    _loss = squared_error  # of the last fit

    def __init__(self, *args, loss="squared_error", quantile=0.5, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss = loss
        self.quantile = quantile

    def predict(self, X, return_std=False):
        """Targets of the adapted task's rows.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_query, ...)
        return_std : bool, default=False
            Also return the standard deviations of the targets, that of single rows included.

        Returns
        -------
        array of shape (n_query,) or (n_query, n_outputs), as ``y`` in ``fit``
        deviations : array of the same shape
            With ``return_std``.

        Raises
        ------
        ValueError
            If deviations are asked for, but the head is not the posterior one, or the loss has none.
        """
        answers = self._answers(X, with_variance=return_std or self._reading.reads_variance)
        predicted = self.decide(self._means(answers), self._level_and_scale)
        if not return_std:
            return predicted
        if not self._loss.has_variance:
            raise ValueError(
                f"This {type(self).__name__} has no deviations: loss='quantile' is of one quantile alone. "
                "Fit two with the quantiles of both ends, or one with head='posterior' and "
                "loss='squared_error', 'huber', 'absolute_error' or 'poisson'."
            )
        if "variance" not in answers:
            gradient = "" if self.meta_gradient in THROUGH_STEPS else " and meta_gradient='second_order'"
            raise ValueError(
                f"This {type(self).__name__} has no deviations: its head is not the posterior of the last "
                f"layer. Fit with head='posterior'{gradient}."
            )
        _, scale = self._level_and_scale
        values = predicted.reshape(answers["variance"].shape)
        return predicted, self._reading.deviations(answers, values, scale).reshape(predicted.shape)

    def predict_interval(self, X, coverage=0.9):
        """Intervals that the targets of the adapted task's rows are in, with that probability each.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_query, ...)
        coverage : float in (0, 1), default=0.9

        Returns
        -------
        array of shape (n_query, 2) or (n_query, n_outputs, 2)
            The lower ends, then the upper ones.

        Raises
        ------
        ValueError
            As ``predict`` with ``return_std``, or if ``coverage`` is not between 0 and 1.
        """
        check_value("predict_interval", "coverage", coverage, [Number(Real, 0, 1, closed=False)])
        predicted, deviation = self.predict(X, return_std=True)
        return np.stack(self._reading.interval(predicted, deviation, coverage), axis=-1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    def decide(self, outputs, level_and_scale):
        """Targets by outputs of shape (n_rows, n_outputs)."""
        return self._reading.values(outputs, *level_and_scale).reshape(len(outputs), *self._y_shape)

    @property
    def _reading(self):
        return _reading_of(self._loss)

    def _means(self, answers):
        return self._reading.means(answers)

    def _chosen_loss(self):
        return Quantile(self.quantile) if self.loss == "quantile" else LOSSES[self.loss]

    _own_classes = False

    def _is_natural(self):
        return True

    def _make_plan(self, tasks):
        self._check_combination()
        head = chosen_head(self, own_classes=False)
        self._check_head_can_learn(head)
        shots = chosen_shots(self.n_shot, head, ("natural",))
        rows = usable_rows(tasks, None, natural=True, own_classes=False, n_shot=shots["natural"])
        loss = self._chosen_loss()
        _reading_of(loss).check(tasks.y)
        return TargetPlan(
            _as_columns(tasks.y),
            tasks.task,
            rows,
            tasks.n_tasks == 1,
            head,
            loss,
            shots,
            tasks.weight,
        )

    def _check_combination(self):
        super()._check_combination()
        if self.task_regularizer == "entropy":
            raise ValueError(
                f"task_regularizer='entropy' is of class probabilities, which {type(self).__name__} has not. "
                "Use an inequality, such as 'theil', or None."
            )

    def _continue_plan(self, plan, tasks):
        if tasks.y.shape[1:] != self._y_shape:
            raise ValueError(
                "With warm_start, y must have the shape of the last fit, "
                f"{('n_rows', *self._y_shape)}; got {tasks.y.shape}."
            )
        plan.scaler = self._labels.scaler  # what was learned is in its units

    def _keep_plan(self, plan, tasks):
        self._labels, self._y_shape, self._loss = Values(plan.scaler), tasks.y.shape[1:], plan.loss

    def _encode_support(self, y, weight, where=""):
        """A task's targets, what its rows count, and the level and scale that lead back from outputs."""
        if y.shape[1:] != self._y_shape:
            expected = ("n_rows", *self._y_shape)
            raise ValueError(f"{where}y has the shape {y.shape}, but fit had y of the shape {expected}.")
        self._reading.check(y, where)
        targets = _as_columns(y)
        level, scale = self._labels.scaler(targets, ones_if_none(weight, len(y)))
        return targets, weight, (level.numpy(), scale.numpy())

    def _set_task(self, level_and_scale):
        self._level_and_scale = level_and_scale

    def _score_rows(self, X, y, sample_weight):
        return r2_score(y, self.predict(X), sample_weight=sample_weight)

    def _metric(self, y, predicted, weight):
        return r2_score(y, predicted, sample_weight=weight)


def _reading_of(loss):
    return Rates() if loss.of_rates else ScaledTargets()


def _as_columns(y):
    # torch takes neither negative strides nor read-only memory
    return torch.as_tensor(np.require(y, np.float64, "CW").reshape(len(y), int(np.prod(y.shape[1:]))))
