"""The regressors: targets to values of the order of one, and back."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from skmeta.core import losses
from skmeta.core.backbones import StandardizedMLP
from skmeta.core.heads import LinearHead
from skmeta.estimators.base import MetaEstimator
from skmeta.estimators.modules import feature_statistics
from skmeta.tasks.checks_of_episodes import check_sizes, draw_episodes
from skmeta.tasks.targets import TargetScaler, moments


@dataclass
class TargetPlan:
    """How a fit reads the targets, shape (n_rows, n_outputs), of tasks numbered by ``task``."""

    targets: torch.Tensor
    task: np.ndarray
    one_task: bool
    default_module: object
    scaler: TargetScaler = field(init=False)

    n_way = None
    # A task on which the inner loop explodes would else undo a hundred steps: on sinusoids, ten support
    # rows, two seeds, TAML reached an R² of .94 and .98 with it, .92 and .68 without.
    gradient_clip = 1.0
    # A squared error has no largest gradient, so a task unlike the others can explode when it is adapted to.
    # On curves over time, five support rows, ten inner steps, one seed, mean errors with bounds of 3, 10, 30
    # and none were .69, .31, .31 and not finite (TAML), .45, 1.72, .39 and .38 (TMAML).
    largest_inner_gradient = 30.0
    loss = staticmethod(losses.squared_error)
    score = staticmethod(losses.one_minus_squared_error)

    def __post_init__(self):
        counts = np.bincount(self.task).tolist()
        of_tasks = [moments(y, torch.ones(len(y))) for y in self.targets.split(counts)]
        self.moments = [torch.stack(parts) for parts in zip(*of_tasks, strict=True)]
        self.scaler = TargetScaler(*self.moments)

    @property
    def codes(self):
        return np.zeros(len(self.task), dtype=np.int64)

    @property
    def spread(self):
        _, scale = self.scaler.from_moments(*self.moments)
        return scale[torch.as_tensor(self.task)]

    def make_head(self, n_features):
        return LinearHead(n_features, self.targets.shape[1])


class MetaRegressor(RegressorMixin, MetaEstimator):
    """Base of the regressors.

    Parameters
    ----------
    n_shot : int or tuple (least, most)
        Support rows of a task in an episode. With a pair it varies in training, from the least to the most.
        Of a task with fewer than ``n_shot + 1`` rows, half are support.
    n_query : int
        Query rows of a task in an episode.

    Attributes
    ----------
    validation_scores_ : list of float
        Mean of 1 - squared error on the held-out episodes at each epoch, in units of each task's variance;
        empty without early stopping.
    """

    score = MetaEstimator.score  # of tasks too; RegressorMixin's knows rows only
    _least_to_score = 2  # R² of one row is not defined

    def predict(self, X):
        """Targets of the adapted task's rows.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_query, ...)

        Returns
        -------
        array of shape (n_query,) or (n_query, n_outputs), as ``y`` in ``fit``
        """
        outputs = self._outputs(X)
        return self._decide(outputs, self._level_and_scale)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _decide(self, outputs, level_and_scale):
        level, scale = level_and_scale
        return (level + scale * outputs).reshape(len(outputs), *self._y_shape)

    def _make_plan(self, tasks):
        self._check_combination()
        check_sizes(tasks)
        module = None
        if self.module is None and len(tasks.X.shape) == 2:
            mean, scale = feature_statistics(tasks)
            module = partial(StandardizedMLP, mean=mean, scale=scale)
        return TargetPlan(
            _as_columns(tasks.y), tasks.task, one_task=tasks.n_tasks == 1, default_module=module
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
        plan.scaler = self._scaler  # what was learned is in its units

    def _keep_plan(self, plan, tasks):
        self._scaler, self._y_shape = plan.scaler, tasks.y.shape[1:]

    def _encode_support(self, y, where=""):
        """A task's targets of the order of one, no mask of classes, and what leads back."""
        if y.shape[1:] != self._y_shape:
            expected = ("n_rows", *self._y_shape)
            raise ValueError(f"{where}y has the shape {y.shape}, but fit had y of the shape {expected}.")
        level, scale = self._scaler(_as_columns(y), torch.ones(len(y)))
        scaled = ((_as_columns(y) - level) / scale).float()
        return scaled, None, (level.numpy(), scale.numpy())

    def _set_task(self, level_and_scale):
        self._level_and_scale = level_and_scale

    def _split_for_score(self, tasks):
        # Always the same split, so that the candidates of a search are compared on the same rows.
        shape = {"n_way": None, "n_shot": self.n_shot, "n_query": len(tasks.y)}
        codes = np.zeros(len(tasks.y), dtype=np.int64)
        return draw_episodes(tasks, codes, np.arange(tasks.n_tasks), seed=0, **shape)

    def _score_rows(self, X, y, sample_weight):
        return r2_score(y, self.predict(X), sample_weight=sample_weight)

    def _metric(self, y, predicted):
        return r2_score(y, predicted)


def _as_columns(y):
    # torch takes neither negative strides nor read-only memory
    return torch.as_tensor(np.require(y, np.float64, "CW").reshape(len(y), -1))
