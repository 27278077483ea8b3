"""From images with boxes, as users pass them, to checked pages: the boundary where bad input is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skmeta.tasks.labels import is_missing, number_labels
from skmeta.tasks.rows import check_list, describe, task_names
from skmeta.tasks.split import without

# Sides of pages are filled up to multiples of this: strides of 2, 4, 8 and 16 divide it.
MULTIPLE = 16
# What an episode needs.
NEEDED = "an object, and an image for each of its sets"
HOW = "[left, top, right, bottom] in pixels, 0 <= left < right <= {w} and 0 <= top < bottom <= {h}"


class Objects(NamedTuple):
    """Boxes ``(n_objects, 4)`` and class numbers ``(n_objects,)`` of an image, and its height and width."""

    boxes: np.ndarray
    codes: np.ndarray
    size: tuple


@dataclass
class Pages:
    """Images of one or more tasks, one after another.

    Attributes
    ----------
    X : float32 ndarray of shape (n_pages, n_channels, height, width)
        Filled up with zeros on the right and at the bottom.
    objects : list of Objects
        Of each page; class numbers count in each task anew.
    task : int ndarray of shape (n_pages,)
    names : list of str
        Of tasks, in messages.
    classes : list of ndarray
        Labels of each task, in order.
    given : int ndarray of shape (n_tasks,), or None
        Pages of each task's support set, for tasks that come with a query set.
    """

    X: np.ndarray
    objects: list
    task: np.ndarray
    names: list
    classes: list
    given: np.ndarray | None = None

    @property
    def n_tasks(self):
        return len(self.names)

    def bounds(self):
        """First page of each task, and one past the last."""
        return np.searchsorted(self.task, np.arange(self.n_tasks + 1))

    def image(self, i):
        """The image on a page, without what fills it up."""
        height, width = self.objects[i].size
        return self.X[i, :, :height, :width]

    def parts(self, pages):
        """Images and targets of some pages of one task, as they were passed."""
        classes = self.classes[self.task[pages[0]]]
        found = [self.objects[i] for i in pages]
        targets = [{"boxes": boxes, "labels": classes[codes]} for boxes, codes, _ in found]
        return [self.image(i) for i in pages], targets


def read_tasks_of_pages(tasks):
    """Checked ``Pages`` of a list of tasks, ``(images, targets)``, or with a query set as two more parts."""
    if not hasattr(tasks, "__len__") or not hasattr(tasks, "__getitem__") or isinstance(tasks, np.ndarray):
        raise ValueError(f"tasks must be a list of tuples (images, targets); got {describe(tasks)}.")
    check_list(tasks)
    names, read, lengths, cuts = task_names(tasks), [], set(), []
    for i, name in enumerate(names):
        task = tasks[i]
        if not isinstance(task, tuple) or len(task) not in (2, 4):
            got = f"{len(task)} parts" if isinstance(task, tuple) else type(task).__name__
            raise ValueError(
                f"{name} must be a tuple (images, targets), or (images, targets, query images, query "
                f"targets); got {got}."
            )
        lengths.add(len(task))
        parts = [read_pages(*task[j : j + 2], where=f"{name}, ") for j in range(0, len(task), 2)]
        cuts.append(len(parts[0][0]))
        images, targets = ([one for part in parts for one in part[j]] for j in (0, 1))
        if read:
            check_channels(images, len(read[0][0][0]), f"{name}, ", "the tasks before it have")
        read.append((images, *_numbered(targets, images, name)))
    if len(lengths) > 1:
        raise ValueError("Tasks must all come with a query set of their own, four parts, or all without.")
    images, objects, classes = zip(*read, strict=True)
    return Pages(
        stacked([image for of_task in images for image in of_task]),
        [page for of_task in objects for page in of_task],
        np.repeat(np.arange(len(names)), list(map(len, images))),
        names,
        list(classes),
        np.array(cuts) if lengths == {4} else None,
    )


def usable_pages(pages):
    """Numbers of the pages of tasks that can give an episode; the others are told in one warning.

    A task needs an object, and an image for each of its sets.
    """
    bounds = pages.bounds()
    left_out = {}
    for i, (first, end) in enumerate(pairwise(bounds)):
        n_support = (end - first) // 2 if pages.given is None else pages.given[i]
        if not 0 < n_support < end - first:
            n_query = end - first - n_support
            left_out[i] = f"has {n_support} images for the support set and {n_query} to query", NEEDED
        elif not any(len(pages.objects[page].boxes) for page in range(first, end)):
            left_out[i] = "has no object", NEEDED
    return without(pages, left_out)


def read_pages(images, targets=None, where=""):
    """Checked images, a list of float32 arrays ``(n_channels, height, width)``, and their targets, if any.

    A target is a pair of boxes, ``(n_objects, 4)``, and labels, ``(n_objects,)``.
    """
    if isinstance(images, str | Mapping) or not hasattr(images, "__len__"):
        raise ValueError(
            f"{where}images must be an array of shape (n_images, n_channels, height, width) or a list of "
            f"arrays (n_channels, height, width); got {describe(images)}."
        )
    images = [_read_image(image, f"{where}image {i}") for i, image in enumerate(images)]
    if images:
        check_channels(images, len(images[0]), where, "image 0 has")
    if targets is None:
        return images, None
    if isinstance(targets, str | Mapping) or not hasattr(targets, "__len__") or len(targets) != len(images):
        got = len(targets) if hasattr(targets, "__len__") else type(targets).__name__
        raise ValueError(
            f"{where}targets must be a list of a dict for each of the {len(images)} images, with boxes and "
            f"labels, empty for an image without objects; got {got}."
        )
    pairs = zip(targets, images, strict=True)
    read = [_read_target(t, image.shape[1:], f"{where}image {i}") for i, (t, image) in enumerate(pairs)]
    return images, read


def number_support(images, targets, where=""):
    """``Pages`` of one support set."""
    objects, classes = _numbered(targets, images, where)
    return Pages(stacked(images), objects, np.zeros(len(images), int), [where], [classes])


def stacked(images):
    """One array of images, filled up with zeros to a multiple of ``MULTIPLE``."""
    if not images:
        return np.zeros((0, 1, MULTIPLE, MULTIPLE), np.float32)
    height, width = (filled_side(max(image.shape[axis] for image in images)) for axis in (1, 2))
    filled = np.zeros((len(images), len(images[0]), height, width), np.float32)
    for page, image in zip(filled, images, strict=True):
        page[:, : image.shape[1], : image.shape[2]] = image
    return filled


def filled_side(side):
    """The next multiple of ``MULTIPLE``."""
    return -(-side // MULTIPLE) * MULTIPLE


def check_channels(images, expected, where, whose):
    """Raise ValueError for an image with other than the ``expected`` number of channels."""
    for i, image in enumerate(images):
        if len(image) != expected:
            raise ValueError(
                f"{where}image {i} has {len(image)} channels, {whose} {expected}. Convert all images alike, "
                "to grey or to colours."
            )


def _read_image(image, where):
    try:
        image = np.asarray(image)
        kept = image.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} must be an array of numbers: {error}") from error
    if image.ndim != 3 or image.size == 0:
        remedy = " Add the axis of channels: image[None]." if image.ndim == 2 else ""
        raise ValueError(
            f"{where} must have the shape (n_channels, height, width); got {image.shape}.{remedy}"
        )
    if len(image) not in (1, 3, 4) and image.shape[2] in (1, 3, 4):
        raise ValueError(
            f"{where} has the shape {image.shape}, which are channels last. Channels come first: "
            "image.transpose(2, 0, 1)."
        )
    if not np.isfinite(kept).all():
        raise ValueError(
            f"{where} has {(~np.isfinite(kept)).sum()} pixels that are not finite. Pixels must be finite: "
            "replace NaN and infinity, or leave the image out."
        )
    return kept


def _read_target(target, size, where):
    if not isinstance(target, Mapping) or not {"boxes", "labels"} <= set(target):
        got = f"the keys {sorted(target)}" if isinstance(target, Mapping) else type(target).__name__
        raise ValueError(f"{where} must have a target with 'boxes' and 'labels'; got {got}.")
    try:
        boxes = np.asarray(target["boxes"], dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: boxes must be numbers: {error}") from error
    labels = np.asarray(target["labels"])
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{where}: boxes must have the shape (n_objects, 4); got {boxes.shape}.")
    if labels.shape != (len(boxes),):
        raise ValueError(
            f"{where}: labels must have the shape ({len(boxes)},), one for each box; got {describe(labels)}."
        )
    for j, label in enumerate(labels.tolist()):
        if is_missing(label):
            raise ValueError(
                f"{where}, box {j} has the label {label!r}. Each box must have a label: give it one, or "
                "leave the box out."
            )
    _check_boxes(boxes, size, where)
    return boxes, labels


def _check_boxes(boxes, size, where):
    height, width = size
    left, top, right, bottom = boxes.T
    outside = (left < 0) | (top < 0) | (right > width) | (bottom > height)
    for wrong, what, remedy in (
        (~np.isfinite(boxes).all(1), "not finite", "Leave it out."),
        ((right < left) | (bottom < top), "inverted", "Of left, top, width, height, right is left + width."),
        ((right == left) | (bottom == top), "empty", "Leave it out."),
        (outside, "outside of the image", "Cut it off at the edges, or scale boxes as the image was scaled."),
    ):
        if wrong.any():
            j = int(wrong.argmax())
            raise ValueError(
                f"{where}, box {j} is {what}: {boxes[j].tolist()}. A box must be "
                f"{HOW.format(w=width, h=height)}. {remedy}"
            )


def _numbered(targets, images, where):
    """``Objects`` of each image, and the labels that their numbers stand for."""
    labels = [labels for _, labels in targets if len(labels)]
    if not labels:
        classes, codes = np.zeros(0, int), np.zeros(0, int)
    else:
        mixed = np.array([value for part in labels for value in part.tolist()], dtype=object)
        number_labels(mixed, f"{where}: labels must be")
        classes, codes = np.unique(np.concatenate(labels), return_inverse=True)
    ends = np.cumsum([len(boxes) for boxes, _ in targets])[:-1]
    parts = np.split(codes, ends) if targets else []
    objects = [
        Objects(boxes, own, image.shape[1:])
        for (boxes, _), own, image in zip(targets, parts, images, strict=True)
    ]
    return objects, classes
