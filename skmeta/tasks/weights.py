"""What rows count: a row of weight two is two rows, one of weight zero is none."""

import warnings

import numpy as np
import torch
from sklearn.utils import check_array

# Weights that are all less than this are told: they may be shares, which are meant to sum to one.
LITTLE = 0.1


def check_weight(sample_weight, n_rows, where=""):
    """``sample_weight`` as a double array of shape (n_rows,), or None; an error starts with ``where``."""
    if sample_weight is None:
        return None
    try:
        weight = check_array(
            sample_weight, ensure_2d=False, ensure_min_samples=0, dtype=np.float64, input_name="sample_weight"
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}sample_weight must be an array of numbers: {error}") from error
    if weight.shape != (n_rows,):
        raise ValueError(
            f"{where}sample_weight must have the shape ({n_rows},), a number for each row; got an array of "
            f"shape {weight.shape}."
        )
    if (weight < 0).any():
        raise ValueError(f"{where}sample_weight must be 0 or more for each row; got {weight.min()}.")
    if 0 < weight.max(initial=0) < LITTLE:
        warnings.warn(
            f"{where}sample_weight is {weight.max():.2g} at most: {n_rows} rows count as "
            f"{weight.sum():.2g}, which tells little. To have them count as {n_rows}, pass weight / "
            "weight.mean().",
            stacklevel=2,
        )
    return np.require(weight, requirements="CW")  # torch takes no negative strides or read-only memory


def ones_if_none(weight, n_rows):
    """Weights as a tensor, ones where there are none."""
    return torch.ones(n_rows) if weight is None else torch.as_tensor(weight)


def without_weightless(weight, *parts):
    """``parts``, arrays with a row for each of the weights, and the weights, where these are not zero."""
    if weight is None or weight.all():
        return *parts, weight
    kept = np.flatnonzero(weight)
    return *(part[kept] for part in parts), weight[kept]


def times(weight, other):
    """The product of two arrays of weights, either of which may be None, for ones."""
    if weight is None or other is None:
        return other if weight is None else weight
    return weight * other


def balancing(size):
    """What a row of each class counts, so that classes of such sizes, a tensor (..., n_classes), count alike.

    All rows together count as before.
    """
    n_held = (size > 0).sum(-1, keepdim=True).clamp_min(1)
    return size.sum(-1, keepdim=True) / n_held / size.where(size > 0, torch.ones_like(size))
