"""The linear mixed model: the prior of a ``GaussianHead`` from whole training tasks."""

import torch

from skmeta.core.ridge import by_rows, cholesky, with_constant

# Least variance of the noise of targets that are of the order of one.
LEAST_NOISE = 1e-10
# Least and largest deviation over tasks of what features add, in units of the noise's. With more features
# than rows the likelihood may want no noise at all; a variance of 10,000 times it still suits float32.
NEGLIGIBLE, OVERWHELMING = 1e-4, 100.0
# Logarithm of the precision of tied means, in units of the noise's.
MOST_LOG_RIDGE = 25.0
# Steps of L-BFGS where features are learned too, and how strongly that is drawn to zero.
STEPS_WITH_FEATURES, WEAKLY = 100, 1e-4


def fit_prior(features, y, weight, random=None, n_tied=0, learned=()):
    """Prior of a ``GaussianHead`` from training tasks: the linear mixed model, by restricted likelihood.

    For each output, means and noise are in closed form given the deviations over tasks, as multiples of the
    noise's; these are found by L-BFGS, in double precision. (EM creeps towards a variance of zero, as do
    logarithms; for a deviation, zero is an ordinary minimum.) A full covariance, tried on eight grouped sets,
    gained 4 % on one, growth curves, and between -1 and 1 % on the others.

    Parameters
    ----------
    features : Tensor of shape (n_tasks, n_rows, n_features)
        Or, with ``learned``, a function that makes it, in double precision.
    y : Tensor of shape (n_tasks, n_rows, n_outputs)
    weight : Tensor of shape (n_tasks, n_rows)
        Zero for padding; a row of weight two is two rows.
    random : Tensor of bool of shape (n_features,) or None
        Features whose weights vary over tasks; None, all may. The constant's does.
    n_tied : int, default=0
        Of so many last features, weights have one variance over tasks, and means another one around zero:
        what many features, compared with rows, need. Both are in units of a feature's size, or of learned
        features, of the size of all of them.
    learned : list of Tensor
        What a function ``features`` depends on, to be learned too; drawn to zero, but so weakly that it only
        keeps within bounds what tasks do not tell.

    Returns
    -------
    dict of str to Tensor
        ``mean``, ``log_precision`` and ``log_noise``, as ``GaussianHead`` has them.
    """
    root, total = weight.double().sqrt()[..., None], weight.double().sum()
    y = y.double() * root

    def columns():
        return with_constant(features() if learned else features.detach().double()) * root

    with torch.no_grad():
        fixed = columns()
    number = torch.arange(fixed.shape[-1], device=y.device)
    is_tied = (number >= len(number) - 1 - n_tied) & (number < len(number) - 1)
    size = _sizes(fixed, total, is_tied, together=bool(learned))
    varies = torch.ones_like(is_tied)
    if random is not None:
        varies[:-1] = random
    # The variance of what a task adds is shared among the features; learned ones have one size together.
    n_sharing = torch.where(is_tied, 1 if learned else n_tied, (varies & ~is_tied).sum())
    share = n_sharing[varies].double().rsqrt()
    number = number.masked_fill(is_tied, -1)[varies].unique(return_inverse=True)[1]
    deviations = y.new_ones((y.shape[-1], int(number.max()) + 1), requires_grad=True)
    log_ridge = y.new_zeros(y.shape[-1], requires_grad=n_tied > 0)

    def solved():
        x = (columns() if learned else fixed) / size
        # Of the noise's deviation: about as much as given, all together at most OVERWHELMING.
        relative = share * bounded(deviations[:, number], OVERWHELMING)
        penalty = is_tied * bounded(log_ridge, MOST_LOG_RIDGE).exp()[:, None]
        return *_mixed_model(x, y, total, varies, relative, penalty), relative

    def criterion():
        optimizer.zero_grad()
        value = solved()[0] + WEAKLY * sum(p.square().sum() for p in learned)
        value.backward()
        return value

    optimizer = torch.optim.LBFGS(
        [p for p in (deviations, log_ridge, *learned) if p.requires_grad],
        max_iter=STEPS_WITH_FEATURES if learned else 500,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )
    with torch.enable_grad():
        optimizer.step(criterion)
    with torch.no_grad():
        _, mean, noise, relative = solved()
        deviation = torch.full_like(mean, NEGLIGIBLE)
        deviation[:, varies] = relative.abs().clamp_min(NEGLIGIBLE)
        log_precision = -2 * (deviation * noise.sqrt()[:, None] / size).log()
        return {"mean": mean / size, "log_precision": log_precision, "log_noise": noise.log()}


def _sizes(x, total, is_tied, together):
    """Sizes of columns, to be divided by, so that one start and one tolerance serve all."""
    squares = x.square().sum((0, 1)) / total
    if together:
        squares = torch.where(is_tied, squares[is_tied].sum(), squares)
    return torch.where(squares > 0, squares, 1.0).sqrt()


def bounded(value, most):
    """About the value as long as it is far from ``most``, which is never passed."""
    return most * (value / most).tanh()


def _mixed_model(x, y, total, varies, relative, penalty):
    """-2 log likelihoods of a row, summed over outputs; means ``(n_outputs, q)`` and noise variances.

    Means have the precision ``penalty`` ``(n_outputs, q)``, in units of the noise's; zero for a flat prior.
    """
    q, n_outputs = x.shape[-1], y.shape[-1]
    z = x[..., varies] * relative[:, None, None]  # axes: outputs, tasks, rows, features
    both = torch.cat([x.expand(n_outputs, *x.shape), y.movedim(-1, 0)[..., None]], -1)
    factor = cholesky(z)
    # The Gram matrix of all rows, weighted by the inverse of their covariance in each task.
    if by_rows(z):
        white = torch.linalg.solve_triangular(factor, both, upper=False).flatten(1, 2)
        gram = white.mT @ white
    else:
        rows = both.flatten(1, 2)
        told = torch.linalg.solve_triangular(factor, z.mT @ both, upper=False).flatten(1, 2)
        gram = rows.mT @ rows - told.mT @ told
    # As little as keeps collinear features from failing.
    of_mean = torch.linalg.cholesky(gram[:, :q, :q] + torch.diag_embed(penalty + 1e-9 * total))
    half = torch.linalg.solve_triangular(of_mean, gram[:, :q, q:], upper=False)
    mean = torch.linalg.solve_triangular(of_mean.mT, half, upper=True)[..., 0]
    is_drawn = penalty > 0
    n_free = (total - (~is_drawn).sum(-1)).clamp_min(1)
    noise = ((gram[:, q, q] - half.square().sum((1, 2))) / n_free).clamp_min(LEAST_NOISE)
    value = n_free * noise.log() + _log_det(factor).sum(1) + _log_det(of_mean)
    value = value - torch.where(is_drawn, penalty, 1.0).log().sum(-1)
    return value.sum() / total, mean, noise


def _log_det(factor):
    return 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
