"""The regressors: targets to values of the order of one, and back."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from scipy.stats import norm
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from skmeta.core import losses
from skmeta.core.heads import LinearHead
from skmeta.core.posterior import GaussianHead
from skmeta.estimators.auto import THROUGH_STEPS, chosen_head, chosen_shots
from skmeta.estimators.base import MetaEstimator
from skmeta.parameter_rules import Number, check_value
from skmeta.tasks.batch import Values
from skmeta.tasks.split import usable_rows
from skmeta.tasks.targets import CommonScale, TargetScaler, are_alike, moments
from skmeta.tasks.weights import ones_if_none


@dataclass
class TargetPlan:
    """How a fit reads the targets, shape (n_rows, n_outputs), of tasks numbered by ``task``.

    ``rows`` are those of tasks that can give an episode. ``weight`` is what each row counts; None is one.
    ``n_centers`` are those of the kernel that the start has, if any.
    """

    targets: torch.Tensor
    task: np.ndarray
    rows: np.ndarray
    one_task: bool
    head: str
    shots: dict
    weight: np.ndarray | None
    scaler: TargetScaler | CommonScale | None = None
    spread: torch.Tensor | None = None
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
    loss, measure = staticmethod(losses.squared_error), staticmethod(losses.one_minus_squared_error)

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
        each = [moments(*part) for part in zip(*in_parts, strict=True)]
        all_moments = [torch.stack(values) for values in zip(*each, strict=True)]
        if self.scaler is None:
            trained = torch.as_tensor(key % 2 == 1)
            of_training = [values[trained] for values in all_moments]
            self.scaler = TargetScaler(*of_training)
            if self.head == "posterior" and are_alike(self.scaler):
                self.scaler = CommonScale(*of_training)
        _, scale = self.scaler.from_moments(*all_moments)
        self.spread = scale[torch.as_tensor(part)]

    def make_head(self, n_features):
        kind = GaussianHead if self.head == "posterior" else LinearHead
        return kind(n_features, self.targets.shape[1])


class MetaRegressor(RegressorMixin, MetaEstimator):
    """Base of the regressors.

    Parameters
    ----------
    head : {"auto", "linear", "posterior"}
        The last layer of a task. ``"linear"``: learned, and adapted by the inner loop. ``"posterior"``: the
        posterior of a Gaussian prior that is learned over the tasks, given the support set; it starts as a
        linear mixed model of the features, and tells deviations and intervals. ``"auto"``: posterior for
        the default network, learned through the inner loop and without a ``task_regularizer``; else linear.
    n_shot : int, tuple (least, most) or "auto"
        Support rows of a task in an episode. With a pair it varies in training, from the least to the most,
        small numbers as often as large ones. Of a task with fewer than ``n_shot + 1`` rows, half are support.
        ``"auto"`` is (1, 30) with the posterior head, else 5.
    n_query : int
        Query rows of a task in an episode.

    Attributes
    ----------
    validation_scores_ : list of float
        Mean of 1 - squared error on the held-out episodes at each epoch, in units of each task's variance, or
        log likelihood with the posterior head, of folds calibrated; empty without early stopping.
    """

    score = MetaEstimator.score  # of tasks too; RegressorMixin's knows rows only
    _least_to_score = 2  # R² of one row is not defined

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
            If deviations are asked for, but the head is not the posterior one.
        """
        answers = self._answers(X)
        predicted = self.decide(answers["outputs"], self._level_and_scale)
        if not return_std:
            return predicted
        if "variance" not in answers:
            gradient = "" if self.meta_gradient in THROUGH_STEPS else " and meta_gradient='second_order'"
            raise ValueError(
                f"This {type(self).__name__} has no deviations: its head is not the posterior of the last "
                f"layer. Fit with head='posterior'{gradient}."
            )
        _, scale = self._level_and_scale
        return predicted, (scale * np.sqrt(answers["variance"])).reshape(predicted.shape)

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
        half = norm.ppf((1 + coverage) / 2) * deviation
        return np.stack([predicted - half, predicted + half], axis=-1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def decide(self, outputs, level_and_scale):
        """Targets by scaled ones of shape (n_rows, n_outputs)."""
        level, scale = level_and_scale
        return (level + scale * outputs).reshape(len(outputs), *self._y_shape)

    _own_classes = False

    def _is_natural(self):
        return True

    def _make_plan(self, tasks):
        self._check_combination()
        head = chosen_head(self, own_classes=False)
        self._check_head_can_learn(head)
        shots = chosen_shots(self.n_shot, head, ("natural",))
        rows = usable_rows(tasks, None, natural=True, own_classes=False, n_shot=shots["natural"])
        return TargetPlan(
            _as_columns(tasks.y), tasks.task, rows, tasks.n_tasks == 1, head, shots, tasks.weight
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
        self._labels, self._y_shape = Values(plan.scaler), tasks.y.shape[1:]

    def _encode_support(self, y, weight, where=""):
        """A task's targets, what its rows count, and the level and scale that lead back from outputs."""
        if y.shape[1:] != self._y_shape:
            expected = ("n_rows", *self._y_shape)
            raise ValueError(f"{where}y has the shape {y.shape}, but fit had y of the shape {expected}.")
        targets = _as_columns(y)
        level, scale = self._labels.scaler(targets, ones_if_none(weight, len(y)))
        return targets, weight, (level.numpy(), scale.numpy())

    def _set_task(self, level_and_scale):
        self._level_and_scale = level_and_scale

    def _score_rows(self, X, y, sample_weight):
        return r2_score(y, self.predict(X), sample_weight=sample_weight)

    def _metric(self, y, predicted, weight):
        return r2_score(y, predicted, sample_weight=weight)


def _as_columns(y):
    # torch takes neither negative strides nor read-only memory
    return torch.as_tensor(np.require(y, np.float64, "CW").reshape(len(y), int(np.prod(y.shape[1:]))))
