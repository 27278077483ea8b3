"""A Gaussian process whose mean and kernel are learned over training tasks."""

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch.nn.utils.rnn import pad_sequence

from benchmarks.accuracy.rivals.estimators import standardised
from benchmarks.accuracy.rivals.mixed_models import normal_answer

MOST_TASKS, MOST_ROWS = 120, 40


class LearnedProcess:
    """A linear mean and, of each task: a level, slopes, a Matérn 3/2 process and noise.

    Each feature has its own variance of slopes, point where these leave the level alone, and scale of the
    process. All are learned by the sum of the tasks' log marginal likelihoods.
    """

    def fit(self, tasks, n_knots=0, n_steps=100):
        """Learn from pairs of rows and targets, both standardised.

        Along each feature that is not binary, the mean bends at ``n_knots`` quantiles.
        """
        X, y = (pad_sequence(list(map(torch.as_tensor, part)), True) for part in zip(*tasks, strict=True))
        real = pad_sequence([torch.ones(len(y)).double() for _, y in tasks], True)
        rows, p = np.concatenate([rows for rows, _ in tasks]), X.shape[-1]
        columns = [j for j in range(p) if len(np.unique(rows[:, j])) > 2]
        at = np.linspace(0, 1, n_knots + 2)[1:-1]
        self.knots = [(j, knot) for j in columns for knot in np.unique(np.quantile(rows[:, j], at))]
        line = Ridge(1.0).fit(self._bent(X[real > 0]), y[real > 0])
        self.mean = torch.tensor([line.intercept_, *line.coef_], requires_grad=True)
        starts = [-1.0], [-1.0], [-1.0], [-3.0] * p, [-0.5 - np.log(p) / 2] * p, [0.0] * p
        self.kernel_params = [torch.tensor(s, dtype=torch.float64, requires_grad=True) for s in starts]
        params = [self.mean, *self.kernel_params]
        optimizer = torch.optim.LBFGS(params, max_iter=n_steps, line_search_fn="strong_wolfe")

        def loss():
            optimizer.zero_grad()
            K = self._kernel(X, X) * real[:, :, None] * real[:, None]
            L = torch.linalg.cholesky(K + torch.diag_embed(real * self._noise() + 1 - real))
            left = ((y - self._mean(X)) * real)[..., None]
            value = (left * torch.cholesky_solve(left, L)).sum() / 2
            value = (value + L.diagonal(dim1=-2, dim2=-1).log().sum()) / real.sum()
            # So weak that it only keeps within bounds what the tasks do not tell.
            value = value + 1e-4 * sum((param**2).sum() for param in self.kernel_params)
            value.backward()
            return value

        optimizer.step(loss)
        return self

    @torch.no_grad()
    def predict(self, X, y, queries):
        """Means and variances of a task's other targets."""
        X, y, queries = map(torch.as_tensor, (X, y, queries))
        L = torch.linalg.cholesky(self._kernel(X, X) + self._noise() * torch.eye(len(X)))
        across = torch.linalg.solve_triangular(L, self._kernel(X, queries), upper=False)
        left = torch.linalg.solve_triangular(L, (y - self._mean(X))[:, None], upper=False)
        alone = self._kernel(queries[:, None], queries[:, None])[:, 0, 0]
        mean = self._mean(queries) + (across.mT @ left)[:, 0]
        return mean.numpy(), (alone - (across**2).sum(0) + self._noise()).numpy()

    def _bent(self, X):
        return torch.cat([X, *((X[..., [j]] - knot).clamp(min=0) for j, knot in self.knots)], -1)

    def _mean(self, X):
        return self.mean[0] + self._bent(X) @ self.mean[1:]

    def _noise(self):
        return self.kernel_params[0].exp() + 1e-6

    def _kernel(self, A, B):
        *logarithms, center = self.kernel_params
        _, level, process, slopes, scales = (log.exp() for log in logarithms)
        far = torch.cdist(A * scales, B * scales, compute_mode="donot_use_mm_for_euclid_dist") * 3**0.5
        return level + ((A - center) * slopes) @ (B - center).mT + process * (1 + far) * (-far).exp()


def learned_process(tasks, view, seed, n_knots=0):
    """The process, learned from some tasks and rows at random."""
    scale, _, y, _ = standardised(tasks, view)
    level, deviation = y.mean(), y.std()
    rng, drawn = np.random.RandomState(0), []
    for k in rng.permutation(len(tasks))[:MOST_TASKS]:
        rows = rng.permutation(len(tasks[k].y))[:MOST_ROWS]
        drawn.append((scale(tasks[k].views[view][rows]), (tasks[k].y[rows] - level) / deviation))
    learned = LearnedProcess().fit(drawn, n_knots)

    def model(X, y, queries):
        mean, variance = learned.predict(scale(X), (y - level) / deviation, scale(queries))
        return normal_answer(level + deviation * mean, deviation**2 * variance)

    return model
