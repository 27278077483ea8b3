"""Bayesian ridge regression of one task, in closed form: what its posteriors are made of.

``q`` is the number of columns, the constant's included. Leading axes, ``...`` in the shapes, are those of
tasks.
"""

import torch

# Least share of what is known of a row that is left without it.
LEAST_LEFT = 1e-6
# Least change of a row that is divided by.
LEAST_CHANGE = 1e-4


def ridge(z, t):
    """Posterior of ``u`` given ``t = z u + e``, where ``u`` and ``e`` are standard normal.

    Parameters
    ----------
    z : Tensor of shape (..., n_rows, q)
    t : Tensor of shape (..., n_rows, n_targets)

    Returns
    -------
    mean : Tensor of shape (..., q, n_targets)
    spread : Tensor of shape (..., q, r)
        What ``variance_along`` takes; ``r = min(n_rows, q)``.
    """
    factor = cholesky(z)
    if by_rows(z):
        half = torch.linalg.solve_triangular(factor, z, upper=False)
        seen = torch.linalg.solve_triangular(factor, t, upper=False)
    else:
        half = torch.linalg.solve_triangular(factor, _identity_like(factor), upper=False)
        seen = half @ (z.mT @ t)
    return half.mT @ seen, half.mT


def weighted_ridge(x, t, weight, curvature):
    """The same where a row's noise has the variance ``1 / (weight * curvature)``; ``t`` has no last axis."""
    # The root of a weight alone: that of a product has no derivative where the weight is zero.
    root = (weight.sqrt() * curvature.sqrt())[..., None]
    return ridge(x * root, t[..., None] * root)


def damping(x, change, weight):
    """Share of a Newton step that is made, ``(..., 1, 1)``: less of one that changes a row by much."""
    rows = ((x @ change) * (weight > 0)[..., None]).abs()
    longest = rows.amax((-2, -1), keepdim=True) if rows.shape[-2] else rows.new_zeros(1)
    return (longest + LEAST_CHANGE).log1p() / (longest + LEAST_CHANGE)


def variance_along(x, spread):
    """Variance of ``x u``, shape ``(..., n_rows)``, for rows ``x`` of shape ``(..., n_rows, q)``."""
    along = (x @ spread).square().sum(-1)
    if spread.shape[-1] == spread.shape[-2]:
        return along
    # What fewer rows than features tell of x is taken from the prior's variance; rounding may take too much.
    return (x.square().sum(-1) - along).clamp_min(0)


def without_itself(t, fitted, variance, weight, curvature=1.0):
    """Each row's ``x u`` and variance by the other rows of a ridge; of a row of more weight, one is left out.

    ``fitted`` and ``variance`` are those by all rows; the noise has the variance ``1 / curvature``.
    """
    told = variance * curvature * weight.clamp_max(1)
    left = (1 - told).clamp_min(LEAST_LEFT)
    return (fitted - told * t) / left, variance / left


def cholesky(z):
    """Factor of ``1 + z z'`` or of ``1 + z' z``, whichever is smaller; their determinants are the same.

    No eigenvalue is below one, but in single precision rounding is more than that if one is millions.
    """
    gram = z @ z.mT if by_rows(z) else z.mT @ z
    rounding = 4 * torch.finfo(z.dtype).eps * gram.detach().diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.linalg.cholesky(gram + (1 + rounding)[..., None, None] * _identity_like(gram))


def by_rows(z):
    """Whether ``z`` has fewer rows than columns, so that algebra by rows is cheaper."""
    return z.shape[-2] < z.shape[-1]


def with_constant(features):
    """Rows with a constant behind their features."""
    return torch.cat([features, features.new_ones((*features.shape[:-1], 1))], -1)


def _identity_like(square):
    return torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)
