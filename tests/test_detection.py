"""Boxes, non-maximum suppression and average precision, against their definitions and pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from skmeta.detection import average_precision, box_iou, suppress


def random_boxes(rng, n, spread=20.0):
    first = rng.uniform(0, spread, (n, 2))
    return np.hstack([first, first + rng.uniform(5, 15, (n, 2))])


def random_images(rng, n_images, n_labels):
    """Targets, and predictions of which about half are near an object; some images have none of either."""
    predictions, targets = [], []
    for _ in range(n_images):
        boxes = random_boxes(rng, rng.integers(0, 6))
        labels = rng.integers(0, n_labels, len(boxes))
        near, others = boxes + rng.normal(0, 1.5, boxes.shape), random_boxes(rng, rng.integers(0, 6))
        found, guessed = np.vstack([near, others]), np.append(labels, rng.integers(0, n_labels, len(others)))
        kept = rng.random(len(found)) < rng.choice([0, 0.6, 1])
        found, guessed = found[kept], guessed[kept]
        # Few values, so that some are the same.
        scores = rng.choice(np.linspace(0.1, 0.9, 9), len(found))
        targets.append({"boxes": boxes, "labels": labels})
        predictions.append({"boxes": found, "labels": guessed, "scores": scores})
    return predictions, targets


def coco_ap50(predictions, targets):
    """AP50 by pycocotools, -1 where no image has an object."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    labels = sorted({int(v) for part in (predictions, targets) for image in part for v in image["labels"]})

    def annotations(part):
        found = []
        for number, image in enumerate(part):
            for i, (box, label) in enumerate(zip(image["boxes"], image["labels"], strict=True)):
                sides = box[2:] - box[:2]
                found.append({"image_id": number, "category_id": int(label), "iscrowd": 0})
                found[-1] |= {"bbox": [*box[:2], *sides], "area": sides.prod(), "id": len(found)}
                if "scores" in image:
                    found[-1]["score"] = image["scores"][i]
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth, answer = coco.COCO(), coco.COCO()
        for data, part in ((truth, targets), (answer, predictions)):
            data.dataset = {
                "images": [{"id": i} for i in range(len(part))],
                "categories": [{"id": label} for label in labels],
                "annotations": annotations(part),
            }
            data.createIndex()
        run = cocoeval.COCOeval(truth, answer, "bbox")
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][0, :, :, 0, 2]
    return precision[precision > -1].mean() if (precision > -1).any() else -1


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_that_of_coco(seed):
    rng = np.random.default_rng(seed)
    predictions, targets = random_images(rng, n_images=rng.integers(1, 12), n_labels=rng.integers(1, 5))
    expected = coco_ap50(predictions, targets)
    ours = average_precision(predictions, targets)
    if expected == -1:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(expected, abs=1e-6)


def test_the_random_images_are_neither_all_right_nor_all_wrong():
    values = [average_precision(*random_images(np.random.default_rng(seed), 10, 3)) for seed in range(20)]
    assert 0.1 < np.mean(values) < 0.9 and np.std(values) > 0.05


def test_more_than_a_hundred_boxes_of_a_label_are_cut_as_coco_does():
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 150, spread=500.0)
    target = [{"boxes": boxes, "labels": np.zeros(150, int)}]
    found = [target[0] | {"scores": rng.uniform(size=150)}]
    expected = coco_ap50(found, target)
    assert expected < 0.7
    assert average_precision(found, target) == pytest.approx(expected, abs=1e-6)


def test_average_precision_by_hand():
    target = {"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": ["a", "a"]}
    wrong, right = [50, 50, 60, 60], [0, 0, 10, 9]
    found = {"boxes": [wrong, right], "labels": ["a", "a"], "scores": [0.9, 0.8]}
    # Precision is 1/2 up to a recall of 1/2, which 51 of the 101 levels are.
    assert average_precision([found], [target]) == pytest.approx(0.5 * 51 / 101)
    assert average_precision([found | {"labels": ["b", "b"]}], [target]) == 0
    assert average_precision([found], [target], least_overlap=0.95) == 0


def test_an_object_is_found_once():
    target = {"boxes": [[0, 0, 10, 10]], "labels": [0]}
    twice = {"boxes": [[0, 0, 10, 9], [0, 0, 10, 10]], "labels": [0, 0], "scores": [0.9, 0.8]}
    assert average_precision([twice], [target]) == 1.0
    worse_first = target | {"boxes": [[0, 0, 10, 10], [40, 40, 50, 50]], "labels": [0, 0]}
    assert average_precision([twice], [worse_first]) == pytest.approx(51 / 101)


def test_numbers_of_images_must_be_the_same():
    with pytest.raises(ValueError, match="one entry for each image; got 0 and 1"):
        average_precision([], [{"boxes": [], "labels": []}])


def test_overlaps():
    a = [[0, 0, 4, 4]]
    assert box_iou(a, [[0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4], [1, 1, 1, 1]])[0] == pytest.approx(
        [1, 1 / 3, 0, 0]
    )
    assert box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]) == 0
    assert box_iou(np.zeros((0, 4)), a).shape == (0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_overlaps_little_and_covers_what_is_dropped(seed):
    rng = np.random.default_rng(seed)
    boxes, scores, labels = random_boxes(rng, 40), rng.uniform(size=40), rng.integers(0, 3, 40)
    kept = suppress(boxes, scores, labels, most_overlap=0.4)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True) and 0 < len(kept) < 40
    rivals = (box_iou(boxes, boxes) > 0.4) & (labels[:, None] == labels)
    assert not (rivals[np.ix_(kept, kept)] & ~np.eye(len(kept), dtype=bool)).any()
    for i in set(range(40)) - set(kept.tolist()):
        assert any(rivals[i, j] and scores[j] >= scores[i] for j in kept)


def test_nothing_to_suppress():
    assert suppress(np.zeros((0, 4)), [], []).shape == (0,)


def test_parts_that_predictions_and_targets_lack_are_named():
    target = {"boxes": [[0, 0, 1, 1]], "labels": ["a"]}
    with pytest.raises(ValueError, match=r"predictions\[0\] must be a dict with .*'scores'.*; got the keys"):
        average_precision([target], [target])
    with pytest.raises(ValueError, match=r"targets\[1\] must be a dict with \['boxes', 'labels'\]; got list"):
        average_precision([target | {"scores": [1.0]}] * 2, [target, [[0, 0, 1, 1]]])
