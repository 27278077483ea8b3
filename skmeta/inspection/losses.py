"""By what displays judge predictions: the loss of each row, and labels that can be judged by it."""

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _num_samples

from skmeta.core.regression_losses import Quantile
from skmeta.estimators.adapted import last_of

LEAST = 1e-6  # of a probability, so that its logarithm is finite


class RowLoss:
    """Log loss of a classifier; absolute error of a regressor, or the loss of a quantile that it predicts."""

    def __init__(self, model):
        last = last_of(model)
        last = last_of(getattr(last, "prior", last))  # of a few-shot estimator
        self.of_values = is_regressor(model)
        self.quantile = last.quantile if getattr(last, "loss", None) == "quantile" else None
        self.name = "log loss" if not self.of_values else "absolute error"
        if self.quantile is not None:
            self.name = f"loss of the {self.quantile:g} quantile"

    def labels(self, X, y, of="_query"):
        """Labels as an array, or ValueError if they are not one or more, one for each row.

        ``of`` is what the arguments' names end in.
        """
        if y is None:
            raise ValueError(f"y{of} is None, but its rows' labels are needed.")
        n_rows, n_labels = _num_samples(X), _num_samples(y)
        if n_rows != n_labels or n_rows == 0:
            raise ValueError(
                f"X{of} and y{of} must have as many rows, one or more. Got {n_rows} and {n_labels}."
            )
        y = np.asarray(y)
        if not self.of_values:
            return column_or_1d(y, warn=True)
        if y.dtype.kind not in "biuf" or not np.isfinite(y).all():
            raise ValueError(f"y{of} must be finite numbers. Got {y.dtype} with {y.ravel()[:5].tolist()}.")
        return y

    def of_rows(self, predicted, y, classes, of="_query"):
        """Losses ``(n_answers, n_rows)`` of stacked predictions, or probabilities of the ``classes``."""
        if self.of_values:
            if predicted.shape[1:] != y.shape:
                raise ValueError(
                    f"y{of} must have the shape of predictions, {predicted.shape[1:]}. Got {y.shape}."
                )
            losses = np.abs(y - predicted)
            if self.quantile is not None:
                losses = Quantile(self.quantile).of_outputs(*map(torch.as_tensor, (predicted, y))).numpy()
            return losses.reshape(*losses.shape[:2], -1).mean(-1)
        known = y[:, None] == classes
        if not known.any():
            raise ValueError(
                f"y{of} has none of the classes that the model knows here, {classes.tolist()}. "
                f"Got {np.unique(y).tolist()[:5]}."
            )
        return -np.log((predicted * known).sum(-1).clip(LEAST))


def check_query(X, X_query, of=""):
    """Raise ValueError for query rows that are none, or of another shape than support rows."""
    if _num_samples(X_query) == 0:
        raise ValueError("X_query must have a row or more. Got 0.")
    wanted, got = (np.shape(rows)[1:] for rows in (X, X_query))
    if wanted != got:
        raise ValueError(f"X_query must have rows of the shape {wanted}, as X{of}. Got {got}.")
