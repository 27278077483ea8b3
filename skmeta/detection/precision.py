"""Average precision: how well the boxes that are found are those that are there."""

from collections.abc import Mapping

import numpy as np

from skmeta.detection.boxes import box_iou

RECALLS = np.linspace(0, 1, 101)  # at which precision is read, as COCO does
MOST_FOUND = 100  # boxes of a label on an image that count, those of the highest scores


def average_precision(predictions, targets, least_overlap=0.5):
    """Mean over labels of the average precision at one overlap: COCO's AP50 at 0.5.

    Best scores first, a found box is right if it overlaps a box of its label on its image, that no better
    one has taken, by ``least_overlap`` or more. Precision is then read at 101 levels of recall, at each the
    largest of those at this recall or more.

    Parameters
    ----------
    predictions : list of dict
        Of each image ``boxes``, array-like of shape (n_found, 4), left, top, right and bottom edge,
        ``labels`` and ``scores``, both of shape (n_found,).
    targets : list of dict
        Of each image ``boxes`` and ``labels``.
    least_overlap : float, default=0.5
        Intersection over union.

    Returns
    -------
    float
        From 0 to 1; NaN where no image has an object. A label that the targets do not hold does not count.

    Raises
    ------
    ValueError
        If there are not as many predictions as targets, or a dict lacks a part.

    References
    ----------
    T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014, and its program pycocotools.

    Examples
    --------
    >>> from skmeta.detection import average_precision
    >>> target = {"boxes": [[0, 0, 9, 9]], "labels": ["a"]}
    >>> average_precision([target | {"scores": [0.9]}], [target])
    1.0
    """
    if len(predictions) != len(targets):
        raise ValueError(
            f"predictions and targets must have one entry for each image; got {len(predictions)} and "
            f"{len(targets)}."
        )
    _check_parts("predictions", predictions, {"boxes", "labels", "scores"})
    _check_parts("targets", targets, {"boxes", "labels"})
    labels = sorted({label for target in targets for label in np.asarray(target["labels"]).tolist()})
    if not labels:
        return float("nan")
    return float(np.mean([_of_label(label, predictions, targets, least_overlap) for label in labels]))


def _check_parts(name, of_images, parts):
    for i, of_image in enumerate(of_images):
        if not isinstance(of_image, Mapping) or not parts <= set(of_image):
            got = f"the keys {sorted(of_image)}" if isinstance(of_image, Mapping) else type(of_image).__name__
            raise ValueError(f"{name}[{i}] must be a dict with {sorted(parts)}; got {got}.")


def _of_label(label, predictions, targets, least_overlap):
    scores, right, n_objects = [], [], 0
    for found, target in zip(predictions, targets, strict=True):
        there = _boxes(target)[np.asarray(target["labels"]) == label]
        own = np.flatnonzero(np.asarray(found["labels"]) == label)
        of_image = np.asarray(found["scores"], float)[own]
        best = np.argsort(-of_image, kind="stable")[:MOST_FOUND]
        scores.append(of_image[best])
        right.append(_match(_boxes(found)[own[best]], there, least_overlap))
        n_objects += len(there)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _area_under(np.concatenate(right)[order], n_objects)


def _boxes(of_image):
    return np.asarray(of_image["boxes"], float).reshape(-1, 4)


def _match(found, there, least_overlap):
    """Which of the found boxes are right, the best first; each takes the free box that it overlaps most."""
    overlap, right = box_iou(found, there), np.zeros(len(found), bool)
    for i, row in enumerate(overlap):
        # Of several that it overlaps alike, COCO takes the last one.
        j = len(row) - 1 - int(row[::-1].argmax()) if len(row) else -1
        if j >= 0 and row[j] >= least_overlap:
            right[i] = True
            overlap[:, j] = -1
    return right


def _area_under(right, n_objects):
    """Mean precision over the levels of recall."""
    n_right = right.cumsum()
    precision = n_right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the largest at this recall or more
    at = np.searchsorted(n_right / n_objects, RECALLS)
    return np.append(precision, 0.0)[at.clip(max=len(right))].mean()
