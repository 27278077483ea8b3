"""Boxes, their overlaps, and average precision: what object detection is measured by."""

from skmeta.detection.boxes import box_iou, suppress
from skmeta.detection.precision import average_precision

__all__ = ["average_precision", "box_iou", "suppress"]
