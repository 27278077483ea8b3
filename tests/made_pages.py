"""Small tasks of detection: pages of simple shapes, some of which are wanted."""

import numpy as np

HEIGHT, WIDTH = 48, 64


def shape(kind, side):
    """A square, a cross, a bar or a corner of ``side`` pixels."""
    image, middle = np.zeros((side, side)), side // 2
    if kind == "square":
        image[[0, -1]] = image[:, [0, -1]] = 1
    elif kind == "cross":
        image[middle] = image[:, middle] = 1
    elif kind == "corner":
        image[-1] = image[:, 0] = 1
    else:
        image[np.arange(side), np.arange(side)] = image[[0, -1], [0, -1]] = 1
    return image


def make_shapes(n_tasks=6, n_pages=4, seed=0):
    """Tasks ``(images, targets)``: four shapes on a page of 48 x 64, those of two kinds are wanted."""
    rng = np.random.default_rng(seed)
    return [_make_task(n_pages, rng) for _ in range(n_tasks)]


def _make_task(n_pages, rng):
    kinds = rng.permutation(["square", "cross", "corner", "slash"])
    images, targets = np.zeros((n_pages, 1, HEIGHT, WIDTH), np.float32), []
    for page in images[:, 0]:
        boxes, labels = [], []
        places = rng.permutation([(x, y) for x in (1, 22, 43) for y in (1, 25)])[:4]
        for (left, top), kind in zip(places, kinds, strict=True):
            side = rng.integers(9, 17)
            left, top = left + rng.integers(5), top + rng.integers(5)
            page[top : top + side, left : left + side] = shape(kind, side)
            if kind in kinds[:2]:
                boxes.append([left, top, left + side, top + side])
                labels.append(str(kind))
        page += rng.normal(0, 0.05, page.shape)
        targets.append({"boxes": np.array(boxes, np.float32), "labels": np.array(labels)})
    return images, targets
