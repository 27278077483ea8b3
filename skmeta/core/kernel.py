"""A kernel of rows as features: what is smooth in the input, not only linear, has a weight."""

import torch
from torch import nn

# Of the kernel of the centers with themselves, whose rows may be the same.
JITTER = 1e-4
# Least square of a distance, so that its root has a derivative.
LEAST = 1e-12


class KernelFeatures(nn.Module):
    """Features ``(n_rows, n_centers)``, whose products are about the Matérn kernel of rows.

    The kernel is of order 3/2, with a scale for each column of the input (Rasmussen & Williams, 2006); of
    rows like one of the centers its value is exact (the Nyström method; Williams & Seeger, 2001). So near the
    centers, a linear model of these features is a Gaussian process. Far away from all of them, features are
    zero: there such a model knows nothing, and its variance does not say so. Centers and scales are fitted
    with the start of a posterior head, and stay so.

    Parameters
    ----------
    in_features : int
    n_centers : int

    Examples
    --------
    >>> import torch
    >>> kernel = KernelFeatures(1, 2)
    >>> kernel.set(torch.tensor([[0.0], [1.0]]), scale=torch.ones(1))
    >>> features = kernel(torch.tensor([[0.0], [1.0]]))
    >>> (features @ features.T).round(decimals=2)
    tensor([[1.0000, 0.4800],
            [0.4800, 1.0000]])
    """

    def __init__(self, in_features, n_centers):
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_centers, in_features))
        self.register_buffer("scale", torch.ones(in_features))
        self.register_buffer("whitening", torch.zeros(n_centers, n_centers))

    def forward(self, x):
        return matern(x, self.centers.to(x), self.scale.to(x)) @ self.whitening.to(x)

    @torch.no_grad()
    def set(self, centers, scale):
        """Take those centers, rows of the input, and what columns are multiplied by."""
        for name, value in ("centers", centers), ("scale", scale), ("whitening", whitening(centers, scale)):
            getattr(self, name).copy_(value)


def matern(x, centers, scale):
    """The kernel of rows ``(..., n_rows, in_features)`` with the centers: ``(..., n_rows, n_centers)``."""
    x, centers = x * scale, centers * scale
    squares = x.square().sum(-1, keepdim=True) + centers.square().sum(-1) - 2 * x @ centers.mT
    far = (3 * squares).clamp_min(LEAST).sqrt()
    return (1 + far) * (-far).exp()


def whitening(centers, scale):
    """What the kernel with the centers is multiplied by, so that features' products are the kernel."""
    identity = torch.eye(len(centers), dtype=centers.dtype, device=centers.device)
    factor = torch.linalg.cholesky(matern(centers, centers, scale) + JITTER * identity)
    half = torch.linalg.solve_triangular(factor, identity, upper=False).mT
    return len(scale) ** 0.5 * half
