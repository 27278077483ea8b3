"""Mixed models: a group's own intercept and slopes on top of what all groups share."""

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold, cross_val_predict

from benchmarks.accuracy.method import Answer
from benchmarks.accuracy.rivals.estimators import chosen, standardised

QUANTILE = norm.ppf(0.95)


class RandomEffects:
    """``y = X beta + Z b + e``, where each group has its own ``b`` of covariance ``psi``.

    Variances are learned by expectation maximisation, ``beta`` by generalised least squares at each step.
    """

    def fit(self, X, Z, y, group, n_steps=400):
        """Learn from the rows of all groups."""
        W, q = np.column_stack([Z, X, y]), Z.shape[1]
        products = np.stack([W[group == k].T @ W[group == k] for k in np.unique(group)])
        ZZ, ZX, Zy = products[:, :q, :q], products[:, :q, q:-1], products[:, :q, -1]
        total, ridge = products.sum(axis=0)[q:, q:], 1e-6 * np.eye(X.shape[1])
        self.noise = y.var() / 2 + 1e-10
        self.psi = np.eye(q) * self.noise
        for _ in range(n_steps):
            A = self.posterior(ZZ)
            XX = total[:-1, :-1] - np.einsum("kij,kil,klm->jm", ZX, A, ZX, optimize=True) / self.noise
            Xy = total[:-1, -1] - np.einsum("kij,kil,kl->j", ZX, A, Zy, optimize=True) / self.noise
            self.beta = np.linalg.solve(XX + ridge, Xy)
            Zr = Zy - ZX @ self.beta
            b = (A @ Zr[..., None])[..., 0] / self.noise
            second = A + b[:, :, None] * b[:, None]
            contrast = np.append(-self.beta, 1.0)
            squares = contrast @ total @ contrast - 2 * (b * Zr).sum() + (ZZ * second).sum()
            self.psi, self.noise = second.mean(axis=0), max(squares / len(y), 1e-10)
        return self

    def posterior(self, ZZ):
        """Covariances of the effects after rows whose ``Z.T @ Z`` is given."""
        return np.linalg.inv(np.linalg.inv(self.psi + 1e-9 * np.eye(len(self.psi))) + ZZ / self.noise)

    def predict(self, Z, residuals, queries):
        """Means and variances of what a new group has beside the fixed effects."""
        A = self.posterior(Z.T @ Z)
        variance = ((queries @ A) * queries).sum(axis=1) + self.noise
        return queries @ (A @ (Z.T @ residuals)) / self.noise, variance


def normal_answer(mean, variance):
    """Values with intervals of a normal distribution."""
    half = QUANTILE * np.sqrt(variance)
    return Answer(mean, low=mean - half, high=mean + half)


def design(tasks, view, slopes):
    """What makes the columns of a random intercept and, if there are to be any, of slopes.

    These are of the columns that a data set tells, or of its time, or of all that are not binary.
    """
    first, X = tasks[0], tasks[0].views[view]
    columns = first.about.get("slopes", []) if view == next(iter(first.views)) else []
    columns = columns or [j for j, column in enumerate(X.T) if np.array_equal(column, first.time)]
    columns = columns or [j for j, column in enumerate(X.T) if len(np.unique(column)) > 2]
    columns = columns if slopes else []
    return lambda X: np.column_stack([np.ones(len(X)), X[:, columns]])


def mixed(tasks, view, seed, slopes=True):
    """A linear mixed model, and the best linear unbiased prediction of a new group's effects."""
    scale, X, y, group = standardised(tasks, view)
    effects, level = design(tasks, view, slopes), y.mean()
    learned = RandomEffects().fit(np.column_stack([X, np.ones(len(X))]), effects(X), y - level, group)

    def fixed(X):
        return level + X @ learned.beta[:-1] + learned.beta[-1]

    def model(X, y, queries):
        X, queries = scale(X), scale(queries)
        mean, variance = learned.predict(effects(X), y - fixed(X), effects(queries))
        return normal_answer(fixed(queries) + mean, variance)

    return model


def boosting_and_effects(tasks, view, seed, slopes=True):
    """Boosting, and random effects of what it leaves of groups that it did not see."""
    scale, X, y, group = standardised(tasks, view)
    effects = design(tasks, view, slopes)
    boosting = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.06, random_state=0)
    unseen = cross_val_predict(boosting, X, y, groups=group, cv=GroupKFold(5))
    learned = RandomEffects().fit(X[:, :0], effects(X), y - unseen, group)
    boosting.fit(X, y)

    def model(X, y, queries):
        X, queries = scale(X), scale(queries)
        mean, variance = learned.predict(effects(X), y - boosting.predict(X), effects(queries))
        return normal_answer(boosting.predict(queries) + mean, variance)

    return model


def logistic_mixed(tasks, view, seed):
    """A logistic regression, and a random intercept whose deviation makes training groups likeliest.

    Integrals over the intercept are sums over the nodes of a quadrature.
    """
    scale, X, y, group = standardised(tasks, view)
    classes, starts = np.unique(y), np.unique(group, return_index=True)[1]
    logit = LogisticRegressionCV(Cs=8, max_iter=500).fit(X, y)
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)

    def log_likelihoods(X, y, deviation):
        """For each row and node."""
        sign = np.where(y == classes[1], 1, -1)
        return -np.logaddexp(0, -sign[:, None] * (logit.decision_function(X)[:, None] + deviation * nodes))

    def evidence(deviation):
        return np.log(np.exp(np.add.reduceat(log_likelihoods(X, y, deviation), starts)) @ weights).sum()

    deviation = max(np.linspace(0.05, 4, 40), key=evidence)

    def model(X, y, queries):
        posterior = np.exp(log_likelihoods(scale(X), y, deviation).sum(axis=0)) * weights
        given = expit(logit.decision_function(scale(queries))[:, None] + deviation * nodes)
        p = given @ (posterior / posterior.sum())
        return chosen(np.column_stack([1 - p, p]), classes)

    return model
