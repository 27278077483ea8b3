"""How a row becomes what a network sees: standardised for the default network, as passed for any other."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from skmeta.tasks import limits
from skmeta.tasks.weights import ones_if_none

# A feature of the default network that is further than this many deviations from the mean counts as that far.
LARGEST = 10.0
# A column loses values if it keeps less than this share of the different ones: of a thousand random doubles,
# two may be neighbours.
LEAST_KEPT = 0.99
# A deviation of less than this share of the mean is rounding.
ROUNDING = 1e-15


@dataclass
class Preparation:
    """From rows as passed to rows as a network takes them.

    Parameters
    ----------
    dtype : torch.dtype
        What the network takes.
    mean, scale : double tensors of shape (n_features,), or None
        Subtracted, and divided by, in double precision before the cast, so that neither the offset of a
        column nor its unit matters. The mean of a column that had no value is NaN, so that none it may have
        later counts. None: rows are cast alone.
    unit_length : bool
        Bring rows, less the mean, to one length instead, the root of their number of features: then they
        differ by direction alone, as embeddings and counts of words do.
    indicated : int tensor of shape (n_indicators,), or None
        Columns in which values were missing. A missing value becomes the mean, and an indicator of each of
        these columns, brought to a mean of zero and a deviation of one, goes behind the features. No median
        is sought: that needs all rows in memory, and the indicator makes up for the value.
    missing_shares : double tensor of shape (n_indicators,), or None
        How often values were missing.
    numbers : int tensor of shape (n_features,), or None
        Columns that are no codes of categories, which ``mean`` and ``scale`` are of; None: all.
    levels : list of pairs
        A column of codes, and a double tensor of those that training rows had: each becomes a feature that is
        one or zero, behind all others. Of other codes, and of none, all are zero.
    """

    dtype: torch.dtype
    mean: torch.Tensor | None = None
    scale: torch.Tensor | None = None
    unit_length: bool = False
    indicated: torch.Tensor | None = None
    missing_shares: torch.Tensor | None = None
    numbers: torch.Tensor | None = None
    levels: tuple = ()

    def __call__(self, rows):
        if self.scale is None:
            if rows.is_floating_point() and not self.dtype.is_floating_point:
                raise ValueError("X has floats, but fit had integers, which the module takes as such.")
            return rows.to(self.dtype)
        mean, scale = self.mean.to(rows.device), self.scale.to(rows.device)
        rows = rows.double()
        numbers = rows if self.numbers is None else rows[..., self.numbers.to(rows.device)]
        centred = (numbers - mean).nan_to_num_(nan=0.0)
        if self.unit_length:
            length = centred.square().mean(-1, keepdim=True).sqrt()
            prepared = centred / torch.where(length > 0, length, 1.0)
        else:
            prepared = (centred / scale).clamp_(-LARGEST, LARGEST)
        behind = [] if self.indicated is None else [self._indicators(rows)]
        behind += [(rows[..., [column]] == codes.to(rows.device)).double() for column, codes in self.levels]
        return torch.cat([prepared, *behind], -1).to(self.dtype) if behind else prepared.to(self.dtype)

    def _indicators(self, rows):
        share = self.missing_shares.to(rows.device)
        missing = rows[..., self.indicated.to(rows.device)].isnan().double()
        return ((missing - share) / (share * (1 - share)).sqrt()).clamp_(-LARGEST, LARGEST)

    def shape(self, row_shape):
        """Shape of a prepared row."""
        if self.indicated is None and not self.levels:
            return tuple(row_shape)
        n_indicators = 0 if self.indicated is None else len(self.indicated)
        return (len(self.mean) + n_indicators + sum(len(codes) for _, codes in self.levels),)

    @property
    def floating(self):
        """Type of rows that are no integers any more, and not prepared yet."""
        return self.dtype if self.scale is None else torch.float64


def standardizing(tasks, rows, dtype=torch.float32, categories=()):
    """``Preparation`` by the mean and deviation of each feature over the row numbers ``rows`` of the tasks.

    Missing values count nowhere. Sparse rows are scaled only, so that zero stays zero. A constant feature has
    a scale of 1. Columns of codes are those in ``categories``.
    """
    of_tasks = list(_looked_at(tasks, rows))
    parts = [_moments(tasks, of_task) for of_task in of_tasks]  # one task in memory at a time
    counts, missing, means, variances = (np.stack(part) for part in zip(*parts, strict=True))
    known, missing = counts.sum(0), missing.sum(0)
    shares = missing / (known + missing)
    counts = np.where(known > 0, counts, 1)  # a column without a value has any mean
    mean = np.average(means, axis=0, weights=counts)
    scale = np.sqrt(np.average(variances + np.square(means - mean), axis=0, weights=counts))
    mean[known == 0] = np.nan
    constant = (scale <= ROUNDING * np.abs(mean)) | (known == 0)
    if sparse.issparse(tasks.X[of_tasks[0][:1]]):
        mean = np.zeros_like(mean)
    scale = np.where(constant, 1.0, scale)
    prepared = Preparation(dtype, torch.as_tensor(mean), torch.as_tensor(scale))
    indicated = np.flatnonzero((shares > 0) & (shares < 1))
    if len(indicated):
        prepared.indicated = torch.as_tensor(indicated)
        prepared.missing_shares = torch.as_tensor(shares[indicated])
    if len(categories):
        prepared.numbers = torch.as_tensor(np.setdiff1d(np.arange(len(mean)), categories))
        prepared.mean, prepared.scale = prepared.mean[prepared.numbers], prepared.scale[prepared.numbers]
        prepared.levels = tuple((column, _codes(tasks, of_tasks, column)) for column in categories)
    return prepared


def _codes(tasks, of_tasks, column):
    """Codes that occur in a column, a double tensor."""
    found = [np.unique(tasks.X[of_task][:, column]) for of_task in of_tasks]
    found = np.unique(np.concatenate(found))
    return torch.as_tensor(found[~np.isnan(found)])


def _looked_at(tasks, rows):
    """Those of the row numbers that are of one task, for each of some tasks."""
    of_tasks = np.split(rows, np.flatnonzero(np.diff(tasks.task[rows])) + 1)
    n_tasks = min(len(of_tasks), limits.TASKS_LOOKED_AT)
    return (of_tasks[i] for i in np.linspace(0, len(of_tasks) - 1, n_tasks).round().astype(int))


def _moments(tasks, rows):
    """How much is known of each feature, how much is missing, mean and variance, in double precision."""
    X, weight = tasks.X[rows], None if tasks.weight is None else tasks.weight[rows]
    total = len(rows) if weight is None else weight.sum()
    none = np.zeros(X.shape[1:])
    if sparse.issparse(X):
        moments = mean_variance_axis(sparse.csr_matrix(X, dtype=np.float64), axis=0, weights=weight)
        return none + total, none, *moments
    missing = np.isnan(X)
    if weight is None and not missing.any():
        return none + total, none, X.mean(0, dtype=np.float64), X.var(0, dtype=np.float64)
    weight = ones_if_none(weight, len(X)).numpy().reshape(-1, *[1] * (X.ndim - 1))
    known = np.where(missing, 0.0, weight)
    n_known, n_missing = known.sum(0), np.where(missing, weight, 0.0).sum(0)
    some = np.where(n_known > 0, n_known, 1)
    mean = (known * np.where(missing, 0.0, X)).sum(0) / some
    variance = (known * np.square(np.where(missing, 0.0, X - mean))).sum(0) / some
    return n_known, n_missing, mean, variance


def check_cast(tasks, rows, dtype):
    """Warn if the cast of ``rows`` to a floating ``dtype`` makes different values of a column equal.

    Some of the rows are looked at; ValueError if the cast would make one of their numbers infinite.
    """
    n_rows = min(limits.ROWS_LOOKED_AT, limits.rows_at_once(tasks.X.shape[1:]))
    of_tasks = list(_looked_at(tasks, rows))[:n_rows]
    if dtype != torch.float32 or tasks.X[of_tasks[0][:1]].dtype in (np.float32, np.float16):
        return
    # One task in memory at a time.
    parts = [tasks.X[of_task[: -(-n_rows // len(of_tasks))]] for of_task in of_tasks]
    X = sparse.vstack(parts).toarray() if sparse.issparse(parts[0]) else np.concatenate(parts)
    X = np.sort(X.reshape(len(X), -1), axis=0)
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
