"""How a row becomes what a network sees: standardised for the default network, as passed for any other."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from skmeta.tasks import limits

# A feature of the default network that is further than this many deviations from the mean counts as that far.
LARGEST = 10.0
# A column that keeps less than this share of its different values has lost what it says.
LEAST_KEPT = 0.9


@dataclass
class Preparation:
    """From rows as passed to rows as a network takes them.

    Parameters
    ----------
    dtype : torch.dtype
        What the network takes.
    mean, scale : double tensors of shape (n_features,), or None
        Subtracted, and divided by, in double precision before the cast, so that neither the offset of a
        column nor its unit matters. None: rows are cast alone.
    """

    dtype: torch.dtype
    mean: torch.Tensor | None = None
    scale: torch.Tensor | None = None

    def __call__(self, rows):
        if self.scale is None:
            if rows.is_floating_point() and not self.dtype.is_floating_point:
                raise ValueError("X has floats, but fit had integers, which the module takes as such.")
            return rows.to(self.dtype)
        mean, scale = self.mean.to(rows.device), self.scale.to(rows.device)
        return ((rows.double() - mean) / scale).clamp_(-LARGEST, LARGEST).to(self.dtype)

    @property
    def floating(self):
        """Type of rows that are no integers any more, and not prepared yet."""
        return self.dtype if self.scale is None else torch.float64


def standardizing(tasks, rows, dtype):
    """``Preparation`` by the mean and deviation of each feature over the row numbers ``rows`` of the tasks.

    Sparse rows are scaled only, so that zero stays zero. A constant feature has a scale of 1.
    """
    of_tasks = np.split(rows, np.flatnonzero(np.diff(tasks.task[rows])) + 1)
    looked_at = (
        np.linspace(0, len(of_tasks) - 1, min(len(of_tasks), limits.TASKS_LOOKED_AT)).round().astype(int)
    )
    # One task in memory at a time.
    parts = [_moments(tasks.X[of_tasks[i]]) for i in looked_at]
    counts = [len(of_tasks[i]) for i in looked_at]
    means, variances, roundings = (np.stack(part) for part in zip(*parts, strict=True))
    mean = np.average(means, axis=0, weights=counts)
    scale = np.sqrt(np.average(variances + np.square(means - mean), axis=0, weights=counts))
    constant = scale <= roundings.max(0)
    if sparse.issparse(tasks.X[of_tasks[0][:1]]):
        mean = np.zeros_like(mean)
    scale = np.where(constant, 1.0, scale)
    return Preparation(dtype, torch.as_tensor(mean), torch.as_tensor(scale))


def _moments(X):
    """Mean and variance of each feature, and what of the deviation may be rounding."""
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(sparse.csr_matrix(X, dtype=np.float64), axis=0)
    else:
        mean, variance = X.mean(0, dtype=np.float64), X.var(0, dtype=np.float64)
    exact = np.float64 if X.dtype.kind in "biu" else X.dtype
    return mean, variance, 8 * np.finfo(exact).eps * np.abs(mean)


def check_cast(tasks, rows, dtype):
    """Warn if the cast of ``rows`` to a floating ``dtype`` makes different values of a column equal.

    Some of the rows are looked at; ValueError if the cast would make one of their numbers infinite.
    """
    n_rows = min(len(rows), limits.rows_at_once(tasks.X.shape[1:]), limits.ROWS_LOOKED_AT)
    X = tasks.X[rows[np.linspace(0, len(rows) - 1, n_rows).round().astype(int)]]
    if X.dtype != np.float64 or dtype != torch.float32:
        return
    X = np.sort((X.toarray() if sparse.issparse(X) else X).reshape(n_rows, -1), axis=0)
    with np.errstate(over="ignore"):
        cast = X.astype(np.float32)
    if not np.isfinite(cast).all():
        raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
    before, after = ((np.diff(values, axis=0) > 0).sum(0) + 1 for values in (X, cast))
    lost = np.flatnonzero(after < LEAST_KEPT * before)
    if len(lost):
        warnings.warn(
            f"X is cast to float32 for the module, which makes different values of column {lost[0]} equal: "
            f"{before[lost[0]]} become {after[lost[0]]}. Subtract the column's offset, pass ids as integers, "
            "or pass a module in double precision.",
            stacklevel=2,
        )
