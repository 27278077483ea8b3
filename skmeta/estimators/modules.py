"""The backbone: built from the data, from a user's class, or copied from a user's network."""

import copy
import inspect

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis
from torch import nn

from skmeta.core.backbones import BATCH_NORMS, MLP

# Enough to know the features' scales, without loading all tasks of a long list once more.
TASKS_LOOKED_AT = 256


def make_backbone(module, input_shape, hidden_layer_sizes, kwargs, default=MLP):
    """New ``nn.Module`` for rows of ``input_shape``; ``module`` as the estimators take it, or ``default``.

    A class or factory is called with those of ``in_features``, ``in_channels`` and ``input_shape``
    that its signature names, and with ``kwargs``.
    """
    if module is None:
        if len(input_shape) > 1:
            raise ValueError(
                "Without a module, X must have 2 axes, (n_rows, n_features); got rows of shape "
                f"{tuple(input_shape)}. Pass module=skmeta.Conv4 for images."
            )
        module = default
        kwargs = {"hidden_layer_sizes": tuple(hidden_layer_sizes)} | kwargs
    if isinstance(module, nn.Module):
        if kwargs:
            raise ValueError(f"module is an instance, so it takes no arguments; got {sorted(kwargs)}.")
        backbone = copy.deepcopy(module)
    else:
        shape = {"in_features": input_shape[0], "in_channels": input_shape[0], "input_shape": input_shape}
        try:
            known = inspect.signature(module).parameters
            backbone = module(**{name: size for name, size in shape.items() if name in known} | kwargs)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"module={module!r} could not be called with {kwargs}: {error}") from error
        if not isinstance(backbone, nn.Module):
            raise ValueError(f"module must return an nn.Module; got {type(backbone).__name__}.")
    _check_no_batch_statistics(backbone)
    return backbone


def feature_statistics(tasks):
    """Mean and standard deviation of each feature of at most ``TASKS_LOOKED_AT`` tasks, 1 for a constant."""
    bounds = tasks.bounds()
    n_tasks = min(tasks.n_tasks, TASKS_LOOKED_AT)
    ids = np.linspace(0, tasks.n_tasks - 1, n_tasks).round().astype(int)
    # One task in memory at a time.
    counts = np.diff(bounds)[ids]
    rows = (tasks.X[np.arange(bounds[i], bounds[i + 1])] for i in ids)
    means, variances = zip(*map(_moments, rows), strict=True)
    mean = np.average(means, axis=0, weights=counts)
    variance = np.average(variances + np.square(means - mean), axis=0, weights=counts)
    scale = np.sqrt(variance)
    constant = scale <= 1e-6 * np.abs(mean)  # what float32 leaves of a constant is rounding
    return mean, np.where(constant, 1.0, scale)


def _moments(X):
    if sparse.issparse(X):
        return mean_variance_axis(sparse.csr_matrix(X, dtype=np.float64), axis=0)
    return X.mean(0, dtype=np.float64), X.var(0, dtype=np.float64)


def count_features(backbone, input_shape):
    """Number of features of a row, found by passing two; they must not depend on each other."""
    rows = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    try:
        # A copy, since going back from eval would also wake batch normalisation that came in eval mode.
        evaluating = copy.deepcopy(backbone).eval()
        with torch.no_grad():
            features, alone = evaluating(rows).flatten(1), evaluating(rows[:1]).flatten(1)
    except Exception as error:
        raise ValueError(f"module failed on rows of shape {tuple(input_shape)}: {error}") from error
    if not torch.allclose(features[:1], alone, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ValueError(
            "module must map each row alone; its features of a row depend on the rows beside it."
        )
    return features.shape[1]


def _check_no_batch_statistics(backbone):
    for name, layer in backbone.named_modules():
        if isinstance(layer, BATCH_NORMS) and (layer.training or not layer.track_running_stats):
            raise ValueError(
                f"module has the batch normalisation {name!r}, whose statistics would leak from one query "
                "row to another. Use GroupNorm or LayerNorm, or pass an instance with trained statistics, "
                "in eval mode."
            )
