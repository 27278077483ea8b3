"""Labels of pages, cell by cell: what a ``Batch`` of detection tasks holds."""

from dataclasses import dataclass

import numpy as np
import torch

from skmeta.detection.cells import N_BOX, encode
from skmeta.tasks.pages import filled_side


@dataclass
class CellLabels:
    """Boxes to what a network is to say of each cell of its feature map.

    Classes are a task's own: each episode numbers those of its support set, in order. An object of a query
    page whose class the support set has not is not asked for, and its cells count nowhere.

    Parameters
    ----------
    stride : int
        Pixels of a cell's side.
    """

    stride: int

    def read(self, episodes, objects, asked=True):
        """Labels of a ``Batch``, from the ``Objects`` of each page; query labels only if ``asked``.

        ``support_y`` and ``query_y`` are dicts of tensors whose axes are tasks, cells of all pages and, but
        for ``near``, numbers: ``heat``, ``box`` and ``near``. ``class_mask`` ``(n_tasks, 4 + n_way)`` begins
        with the outputs that tell where the box is, which every task has.
        """
        shape = [filled_side(max(o.size[axis] for o in objects)) // self.stride for axis in (0, 1)]
        rows = zip(episodes.support, episodes.support_weight, strict=True)
        classes = [_classes(objects, pages[weight > 0]) for pages, weight in rows]
        n_way = max(1, *map(len, classes)) if classes else 1
        mask = torch.arange(N_BOX + n_way) < torch.tensor([[N_BOX + len(c)] for c in classes])

        def cells(pages, weights):
            tasks = zip(pages, weights, classes, strict=True)
            each = [self._of_task(objects, *task, n_way, shape) for task in tasks]
            return {name: torch.stack([task[name] for task in each]) for name in each[0]}

        support = cells(episodes.support, episodes.support_weight)
        read = {"support_weight": support.pop("weight"), "support_y": support, "class_mask": mask}
        if not asked:
            return read
        query = cells(episodes.query, episodes.query_weight)
        return read | {"query_weight": query.pop("weight"), "query_y": query}

    def _of_task(self, objects, pages, weights, classes, n_way, shape):
        number = {code: i for i, code in enumerate(classes)}
        parts = []
        for page, weight in zip(pages.tolist(), weights.tolist(), strict=True):
            boxes, codes, size = objects[page]
            codes = [number.get(code, -1) for code in codes.tolist()]
            target = encode(boxes, codes, n_way, shape, self.stride)
            counted = weight * target.asked * self._inside(size, shape)
            parts.append({"heat": target.heat, "box": target.box, "near": target.near, "weight": counted})
        names = parts[0] if parts else ()
        return {name: torch.as_tensor(np.concatenate([part[name] for part in parts])) for name in names}

    def _inside(self, size, shape):
        """1 for cells of the image, 0 for those of what fills it up: ``(n_cells,)``."""
        rows, columns = (np.arange(n) * self.stride < side for n, side in zip(shape, size, strict=True))
        return (rows[:, None] & columns).ravel().astype(np.float32)


def _classes(objects, pages):
    """Class numbers of those pages, in order."""
    return sorted({code for page in pages.tolist() for code in objects[page].codes.tolist()})
