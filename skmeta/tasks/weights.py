"""What rows count: a row of weight two is two rows, one of weight zero is none."""

import numpy as np
from sklearn.utils import check_array, compute_sample_weight


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
    return weight


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


def balanced_in_tasks(y, task):
    """Weights of rows by which the classes of each task count alike; tasks stand together, in order."""
    of_tasks = np.split(y, np.flatnonzero(np.diff(task)) + 1)
    return np.concatenate([compute_sample_weight("balanced", labels) for labels in of_tasks])
