"""Boxes: rows of left, top, right and bottom edge, in pixels; ``...xyxy`` in torchvision's words.

NumPy alone: torchvision has the same, but its binary must be the one that goes with that of torch.
"""

import numpy as np


def box_iou(a, b):
    """Overlap of each pair of boxes: their intersection over their union.

    Parameters
    ----------
    a, b : array-like of shape (n_a, 4) and (n_b, 4)

    Returns
    -------
    ndarray of shape (n_a, n_b)
        Zero where both are empty.

    Examples
    --------
    >>> from skmeta.detection import box_iou
    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 1], [2, 0, 3, 1]]).tolist()
    [[0.5, 0.0]]
    """
    a, b = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (a, b))
    first, last = (choose(a[:, None, part], b[None, :, part]) for choose, part in _CORNERS)
    common = (last - first).clip(0).prod(-1)
    union = _area(a)[:, None] + _area(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


_CORNERS = (np.maximum, slice(0, 2)), (np.minimum, slice(2, 4))


def _area(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def suppress(boxes, scores, labels, most_overlap=0.5):
    """Non-maximum suppression: which boxes to keep, best first.

    A box is dropped if it overlaps a kept one of the same label and a higher score by more than
    ``most_overlap``.

    Parameters
    ----------
    boxes : array-like of shape (n_boxes, 4)
    scores, labels : array-like of shape (n_boxes,)
    most_overlap : float, default=0.5

    Returns
    -------
    int ndarray of shape (n_kept,)

    Examples
    --------
    >>> from skmeta.detection import suppress
    >>> boxes = [[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]
    >>> suppress(boxes, [0.5, 0.9, 0.4], ["a", "a", "a"]).tolist()
    [1, 2]
    """
    boxes, labels = np.asarray(boxes, float).reshape(-1, 4), np.asarray(labels)
    left = np.argsort(-np.asarray(scores, float), kind="stable")
    rivals = (box_iou(boxes, boxes) > most_overlap) & (labels[:, None] == labels)
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[1:][~rivals[left[0], left[1:]]]
    return np.array(kept, dtype=int)
