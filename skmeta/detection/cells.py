"""Boxes as a fully convolutional network sees them: numbers of the cells of its feature map, and back.

Objects as Points (X. Zhou, D. Wang, P. Krähenbühl, 2019): an object is a peak of heat at the cell that holds
its centre; how far the centre is from that of the cell, and how large the box is, stand beside it.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter

from skmeta.detection.boxes import suppress

# Of a cell: how far right and down the centre is, in cells, and logarithms of width and height in SIDE cells.
N_BOX = 4
SIDE = 4
# Heat falls as a Gaussian whose deviation is this share of the box's mean side, and this many cells at least.
SPREAD, LEAST_SPREAD = 1 / 6, 0.5
# Heat of a cell from which it tells where the box is.
NEAR = 0.3
# Logarithms of sizes beyond these would be boxes of no page.
LARGEST = 4.0


class CellTargets(NamedTuple):
    """What a network is to say of each of the ``n_cells = height * width`` cells of an image.

    Attributes
    ----------
    heat : float32 ndarray of shape (n_cells, n_classes)
        1 at the centre of an object of the class.
    box : float32 ndarray of shape (n_cells, 4)
        Where the box is, of cells near a centre.
    near : float32 ndarray of shape (n_cells,)
        How much ``box`` counts: the heat near centres, else 0.
    asked : float32 ndarray of shape (n_cells,)
        0 where there is an object of no class, else 1.
    """

    heat: np.ndarray
    box: np.ndarray
    near: np.ndarray
    asked: np.ndarray


def encode(boxes, codes, n_classes, shape, stride):
    """``CellTargets`` of one image.

    Parameters
    ----------
    boxes : ndarray of shape (n_objects, 4)
        In pixels.
    codes : int ndarray of shape (n_objects,)
        Class numbers; -1 is an object that is not asked for.
    n_classes : int
    shape : tuple of int
        Rows and columns of cells.
    stride : int
        Pixels of a cell's side.
    """
    height, width = shape
    heat = np.zeros((height, width, n_classes), np.float32)
    box = np.zeros((height, width, N_BOX), np.float32)
    near, asked = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    y, x = np.arange(height)[:, None], np.arange(width)
    for (left, top, right, bottom), code in zip(boxes / stride, codes, strict=True):
        center = np.array([left + right, top + bottom]) / 2
        column, row = np.minimum(center.astype(int), (width - 1, height - 1))
        sides = np.array([right - left, bottom - top])
        spread = max(SPREAD * np.sqrt(sides.prod()), LEAST_SPREAD)
        own = np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * spread**2)).astype(np.float32)
        if code < 0:
            asked[own >= NEAR] = 0
            continue
        heat[..., code] = np.maximum(heat[..., code], own)
        nearest = own > np.maximum(near, NEAR)
        near[nearest] = own[nearest]
        box[nearest, 0] = (center[0] - x - 0.5 + 0 * y)[nearest]
        box[nearest, 1] = (center[1] - y - 0.5 + 0 * x)[nearest]
        box[nearest, 2:] = np.log(sides / SIDE)
    n_cells = height * width
    asked[near > NEAR] = 1
    return CellTargets(
        heat.reshape(n_cells, -1), box.reshape(n_cells, -1), near.reshape(-1), asked.reshape(-1)
    )


def decode(outputs, shape, stride, size, *, least_score, most_overlap, most_found):
    """Boxes, class numbers and scores of one image, best first.

    Parameters
    ----------
    outputs : ndarray of shape (n_cells, 4 + n_classes)
        Of each cell where the box is, and logits of the classes.
    shape : tuple of int
        Rows and columns of cells.
    stride : int
    size : tuple of int
        Height and width of the image in pixels; boxes are cut off there.
    least_score, most_overlap : float
        Of boxes to keep: their score, and of two of a class their intersection over union.
    most_found : int
        Boxes of the image.

    Returns
    -------
    boxes : float32 ndarray of shape (n_found, 4)
    codes : int ndarray of shape (n_found,)
    scores : float32 ndarray of shape (n_found,)
        A peak's heat.
    """
    heat = 1 / (1 + np.exp(-outputs[:, N_BOX:].clip(-50, 50).reshape(*shape, -1)))
    peaks = (heat == maximum_filter(heat, (3, 3, 1))) & (heat >= least_score)
    row, column, codes = np.nonzero(peaks)
    scores = heat[peaks]
    best = np.argsort(-scores, kind="stable")[: 4 * most_found]  # some overlap
    row, column, codes, scores = (values[best] for values in (row, column, codes, scores))
    right, down, *sides = outputs[:, :N_BOX].reshape(*shape, -1)[row, column].T
    center = np.stack([column + 0.5 + right, row + 0.5 + down], 1)
    half = SIDE / 2 * np.exp(np.clip(sides, -LARGEST, LARGEST)).T
    boxes = stride * np.hstack([center - half, center + half])
    boxes = boxes.clip(0, [size[1], size[0]] * 2)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
    boxes, codes, scores = boxes[inside], codes[inside], scores[inside]
    kept = suppress(boxes, scores, codes, most_overlap)[:most_found]
    return boxes[kept].astype(np.float32), codes[kept], scores[kept].astype(np.float32)
