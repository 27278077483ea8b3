"""One page of handwritten characters: turned, scaled, scattered, with strokes and noise between."""

import numpy as np
from scipy import ndimage

SCALES = 0.7, 1.5  # of a drawing of 28 pixels
MAX_ANGLE = 20.0  # degrees
MOST_OVERLAP = 0.2  # of two boxes: their common part over the smaller one
N_TRIES = 60  # places tried for a character
N_STROKES = 2, 6
NOISE = 0.08  # standard deviation, where paper is 0 and ink is 1
DARKNESS = 0.5, 1.0  # of a stroke; of a character 0.7 at least
THICK = 2.0  # what a blurred line of one pixel is multiplied by
LEAST_INK = 0.35  # of a pixel that a box must hold


def draw_page(drawings, size, rng):
    """A page with the drawings, arrays of shape (28, 28), and their boxes.

    Returns
    -------
    page : float32 ndarray of shape (size, size)
    boxes : float32 ndarray of shape (n_drawings, 4)
        Left, top, right and bottom edge in pixels.
    """
    page, boxes = _place(drawings, size, rng)
    page = np.maximum(page, _strokes(boxes, size, rng))
    page += rng.normal(0, NOISE, page.shape)
    return page.clip(0, 1).astype(np.float32), boxes.astype(np.float32)


def _place(drawings, size, rng):
    """A page with the drawings alone, and their boxes; begun anew where one finds no room."""
    page, boxes = np.zeros((size, size), np.float32), np.zeros((0, 4))
    for drawing in drawings:
        ink = _turned(drawing, rng)
        box = _find_room(ink.shape, boxes, size, rng)
        if box is None:
            return _place(drawings, size, rng)
        left, top, right, bottom = box
        page[top:bottom, left:right] = np.maximum(page[top:bottom, left:right], ink)
        boxes = np.vstack([boxes, box])
    return page, boxes


def _turned(drawing, rng):
    """The drawing, turned and scaled, as the smallest rectangle that holds its ink."""
    angle, scale = np.deg2rad(rng.uniform(-MAX_ANGLE, MAX_ANGLE)), rng.uniform(*SCALES)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    side = int(np.ceil(len(drawing) * scale * 1.3))
    shift = (len(drawing) - 1) / 2 - back @ np.full(2, (side - 1) / 2)
    seen = ndimage.affine_transform(drawing, back, shift, (side, side), order=1)
    seen *= rng.uniform(0.7, 1.0) / max(seen.max(), 1e-6)
    rows, columns = (np.flatnonzero((seen > LEAST_INK).any(axis)) for axis in (1, 0))
    return seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _find_room(shape, boxes, size, rng):
    """A place where a rectangle overlaps no box too much, or None."""
    height, width = shape
    left = rng.integers(size - width, size=N_TRIES, endpoint=True)
    top = rng.integers(size - height, size=N_TRIES, endpoint=True)
    places = np.stack([left, top, left + width, top + height], 1)
    free = (_common(places[:, None], boxes) <= MOST_OVERLAP).all(1)
    return places[free.argmax()] if free.any() else None


def _common(box, boxes):
    """Common part of a box and each of the others, over the smaller one; of several, with one more axis."""
    sides = np.minimum(box[..., 2:], boxes[:, 2:]) - np.maximum(box[..., :2], boxes[:, :2])
    areas = [(some[..., 2:] - some[..., :2]).prod(-1) for some in (box, boxes)]
    return sides.clip(0).prod(-1) / np.minimum(*areas)


def _strokes(boxes, size, rng):
    """Short curves, a pen's width thick, that leave out what is inside the boxes."""
    page = np.zeros((size, size), np.float32)
    t = np.linspace(0, 1, 4 * size)[:, None]
    for _ in range(rng.integers(*N_STROKES, endpoint=True)):
        a, b, c = rng.uniform(0, size, 2) + np.array([[0, 0], *rng.normal(0, size / 8, (2, 2))])
        x, y = np.rint((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c).astype(int).T
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        page[y[inside], x[inside]] = rng.uniform(*DARKNESS)
    page = (THICK * ndimage.gaussian_filter(page, 0.7)).clip(max=1)
    for left, top, right, bottom in boxes.astype(int):
        page[top:bottom, left:right] = 0
    return page
