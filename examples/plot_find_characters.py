"""Find characters of an alphabet never seen, from one to five annotated pages.

A task is a few pages of handwriting: boxes mark all copies of one to three characters of an alphabet, and the
same characters are to be found on other pages, among others of that alphabet, strokes and noise. Alphabets of
training, of tuning the rivals, and of the table are different ones.

    python examples/plot_find_characters.py            # about half an hour on two cores
    python examples/plot_find_characters.py --quick    # to see that it runs

prints the average precision at an overlap of 0.5 (AP50) of each method, and how long it takes; draws
find_characters.png beside this file. Omniglot is downloaded once, or read from the folder that
``SKMETA_DATA`` names. For your own images, pass tasks of your own to ``fit``: a list of ``(images,
targets)``, images ``(n_images, n_channels, height, width)`` and for each a dict of ``boxes`` (left, top,
right and bottom edge in pixels) and ``labels``.
"""

import argparse
import copy
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from skimage.feature import match_template
from skimage.transform import rescale, rotate
from torch import nn

from skmeta import FeaturePyramid, TAMLDetector, TMAMLDetector
from skmeta.core.cells import CellBackbone, CellLoss
from skmeta.datasets import make_pages
from skmeta.detection import average_precision, suppress
from skmeta.detection.cells import N_BOX, decode, encode
from skmeta.model_selection.intervals import task_interval

SHOTS = 1, 3, 5
N_ASKED = 5  # pages of each new task on which characters are to be found
LEAST_SCORE = 0.01
STRIDE, SIZE = 4, 128
SHAPE = SIZE // STRIDE, SIZE // STRIDE
FIGURE = Path(__file__).with_name("find_characters.png")


def main(quick=False, figure=FIGURE):
    n_train, n_tuned, n_new = (3, 1, 2) if quick else (500, 8, 40)
    made = partial(make_pages, characters="digits" if quick else "omniglot")
    training = made(n_train, random_state=0).tasks
    tuned = made(n_tuned, subset="validation", n_pages=max(SHOTS) + N_ASKED, random_state=1).tasks
    new = made(n_new, subset="test", n_pages=max(SHOTS) + N_ASKED, random_state=2).tasks
    models = fit_models(training, tuned, quick)
    results = {name: scores(model, new) for name, model in models.items()}
    show(results)
    draw(models["TMAML"], new[:3], figure)
    print(f"\nDrawn: {figure}")


# ---- methods: ``model(images, targets, asked)`` finds the characters of some pages on others


def fit_models(training, tuned, quick=False):
    """Each method by its name."""
    params = {"max_iter": 2, "module__hidden_channels": 8} if quick else {}
    models = {}
    for estimator in (TMAMLDetector, TAMLDetector):
        name = estimator.__name__.removesuffix("Detector")
        fitted = timed(f"fit of {name}", estimator(verbose=1, random_state=0, **params).fit, training)
        models[name] = partial(adapted, fitted)
    pooled = timed("pooled fit", fit_pooled, training, fitted.max_iter, fitted.meta_batch_size)
    return models | tuned_rivals(pooled, tuned, quick)


def tuned_rivals(pooled, tuned, quick=False):
    """The rivals by their names; what they leave open is chosen on tasks, by three pages of each."""
    models = {}
    for name, (model, grid) in {
        "pooled, last layers fine-tuned": (
            partial(fine_tuned, pooled),
            {"n_steps": (3,) if quick else (30, 100), "lr": (0.003, 0.03)},
        ),
        "pooled, class means": (partial(class_means, pooled), {"scale": (10, 30)}),
        "network from scratch": (from_scratch, {"n_steps": (3,) if quick else (30,), "lr": (0.003, 0.01)}),
        "template matching": (templates, {"turns": ((0,), (-15, 0, 15)), "scales": ((1,), (0.7, 1, 1.4))}),
    }.items():
        candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        models[name] = partial(model, **candidates[0])
        if quick:
            continue
        found = [scores(partial(model, **c), tuned, (3,))[3].mean() for c in candidates]
        models[name] = partial(model, **candidates[int(np.argmax(found))])
        print(f"{name}: {models[name].keywords}, AP50 of {max(found):.2f} on the tasks to tune on")
    return models


def timed(what, function, *args):
    start = time.perf_counter()
    result = function(*args)
    print(f"{what}: {time.perf_counter() - start:.0f} s")
    return result


def adapted(detector, images, targets, asked):
    """What a meta-trained detector finds after it has seen the annotated pages."""
    return detector.adapt(images, targets).predict(asked, least_score=LEAST_SCORE)


def cell_targets(targets, labels):
    """What a network is to say of the cells of pages: a dict of tensors ``(n_cells, ...)``."""
    each = [
        encode(t["boxes"], np.searchsorted(labels, t["labels"]), len(labels), SHAPE, STRIDE) for t in targets
    ]
    joined = {name: np.concatenate([getattr(t, name) for t in each]) for name in ("heat", "box", "near")}
    return {name: torch.as_tensor(values) for name, values in joined.items()}


def labels_of(targets):
    return np.unique(np.concatenate([target["labels"] for target in targets]))


def found_by(outputs, n_pages, labels):
    """Boxes, labels and scores of pages, from what a network says of their cells."""
    found = []
    for of_page in outputs.detach().numpy().reshape(n_pages, -1, N_BOX + len(labels)):
        kept = {"least_score": LEAST_SCORE, "most_overlap": 0.4, "most_found": 100}
        boxes, codes, scores = decode(of_page, SHAPE, STRIDE, (SIZE, SIZE), **kept)
        found.append({"boxes": boxes, "labels": labels[codes], "scores": scores})
    return found


def new_backbone(n_channels):
    module = FeaturePyramid(n_channels)
    return CellBackbone(module, module.from_fine.out_channels)


def logits(features, classes):
    """Where the box is, and a logit for each class, of cells; ``classes`` is a linear layer."""
    return torch.cat([features[:, -N_BOX:], classes(features[:, :-N_BOX])], 1)


def descend(loss, params, n_steps, lr):
    """Steps of Adam, whose size falls as a cosine, as that of the detectors does."""
    optimizer = torch.optim.Adam(params, lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(params, 5.0)
        optimizer.step()
        schedule.step()


def class_layer(n_features, n_classes):
    layer = nn.Linear(n_features, n_classes)
    nn.init.constant_(layer.bias, -4.0)  # most cells are empty
    return layer


def fit_pooled(training, n_steps, batch_size):
    """A backbone that was trained on the classes of all training tasks together, as much as TMAML was.

    Each class has a row of its own in the last layer; a page asks for those of its task alone.
    """
    torch.manual_seed(0)
    rng, loss = np.random.default_rng(0), CellLoss()
    backbone = new_backbone(training[0][0].shape[1])
    labels = [labels_of(targets) for _, targets in training]
    first = np.cumsum([0, *map(len, labels)])
    layer = class_layer(backbone.n_features, first[-1])

    def of_pages():
        total = 0.0
        for task in rng.choice(len(training), batch_size):
            images, targets = training[task]
            pages = rng.permutation(len(images))[:5]
            features = backbone(torch.as_tensor(images[pages]))
            own = slice(first[task], first[task + 1])
            own_layer = partial(nn.functional.linear, weight=layer.weight[own], bias=layer.bias[own])
            y = cell_targets([targets[i] for i in pages], labels[task])
            total = total + loss(logits(features, own_layer), y, torch.ones(len(features))) / batch_size
        return total

    descend(of_pages, [*backbone.parameters(), *layer.parameters()], n_steps, 0.004)
    return backbone.eval()


def fine_tuned(backbone, images, targets, asked, n_steps, lr):
    """The last layers, of classes and of boxes, trained on the annotated pages (Wang et al., 2020)."""
    torch.manual_seed(0)
    labels, own = labels_of(targets), copy.deepcopy(backbone)
    y, box, own.box[-1] = cell_targets(targets, labels), own.box[-1], nn.Identity()
    with torch.no_grad():
        of_support, of_asked = (own(torch.as_tensor(pages)) for pages in (images, asked))
    classes = class_layer(own.n_features, len(labels))

    def outputs(features):
        of_class, of_box = features.tensor_split([own.n_features], 1)
        return torch.cat([box(of_box[..., None, None]).flatten(1), classes(of_class)], 1)

    def of_pages():
        return CellLoss()(outputs(of_support), y, torch.ones(len(of_support)))

    descend(of_pages, [*box.parameters(), *classes.parameters()], n_steps, lr)
    return found_by(outputs(of_asked), len(asked), labels)


def class_means(backbone, images, targets, asked, scale):
    """Cosines of cells' features with the mean of each class's centres, less the mean of all cells."""
    labels = labels_of(targets)
    with torch.no_grad():
        support, features = (backbone(torch.as_tensor(pages)) for pages in (images, asked))
    center = support[:, :-N_BOX].mean(0)
    is_center = (cell_targets(targets, labels)["heat"] == 1).float()
    means = is_center.T @ (support[:, :-N_BOX] - center)
    cosine = nn.functional.normalize(features[:, :-N_BOX] - center) @ nn.functional.normalize(means).T
    return found_by(torch.cat([features[:, -N_BOX:], scale * (cosine - 0.7)], 1), len(asked), labels)


def from_scratch(images, targets, asked, n_steps, lr):
    """The same network, trained on the annotated pages alone."""
    torch.manual_seed(0)
    labels = labels_of(targets)
    y, pages = cell_targets(targets, labels), torch.as_tensor(images)
    backbone = new_backbone(images.shape[1])
    classes = class_layer(backbone.n_features, len(labels))

    def of_pages():
        features = backbone(pages)
        return CellLoss()(logits(features, classes), y, torch.ones(len(features)))

    descend(of_pages, [*backbone.parameters(), *classes.parameters()], n_steps, lr)
    with torch.no_grad():
        return found_by(logits(backbone(torch.as_tensor(asked)), classes), len(asked), labels)


def templates(images, targets, asked, turns, scales):
    """Normalised correlation with each annotated character, turned and scaled; its peaks are found."""
    patterns = []
    for image, target in zip(images, targets, strict=True):
        for (left, top, right, bottom), label in zip(
            target["boxes"].astype(int), target["labels"], strict=True
        ):
            crop = image[0, top:bottom, left:right]
            turned = [rotate(crop, turn, resize=True) if turn else crop for turn in turns]
            scaled = [rescale(one, scale) if scale != 1 else one for one in turned for scale in scales]
            patterns += [(one, label) for one in scaled if min(one.shape) > 2 and max(one.shape) < SIZE]
    return [_matches(page[0], patterns) for page in asked]


def _matches(page, patterns, n_best=20):
    boxes, labels, scores = [], [], []
    for pattern, label in patterns:
        found = match_template(page, pattern)
        best = np.argpartition(found.ravel(), -n_best)[-n_best:]
        rows, columns = np.unravel_index(best, found.shape)
        height, width = pattern.shape
        boxes.append(np.column_stack([columns, rows, columns + width, rows + height]))
        scores.append(found[rows, columns])
        labels += [label] * len(best)
    boxes, labels, scores = np.concatenate(boxes), np.array(labels), np.concatenate(scores)
    kept = suppress(boxes, scores, labels, 0.3)[:100]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


# ---- scores


def scores(model, tasks, shots=SHOTS):
    """AP50 of each task by number of annotated pages, on the same pages for all of these."""
    found = {n: [] for n in shots}
    for images, targets in tasks:
        asked, there = images[-N_ASKED:], targets[-N_ASKED:]
        for n in shots:
            found[n].append(average_precision(model(images[:n], targets[:n], asked), there))
    return {n: np.array(values) for n, values in found.items()}


def show(results):
    """Table of AP50, and of the difference of TMAML and the best rival, on the same tasks."""
    n_tasks = len(next(iter(results.values()))[SHOTS[0]])
    print(f"\nAP50 of {n_tasks} tasks of new alphabets, ± half of the 95 % interval over tasks")
    print(f"{'annotated pages':34}" + "".join(f"{n:>15}" for n in SHOTS))
    rows = dict(results)
    rivals = {n: max(list(results)[2:], key=lambda name: results[name][n].mean()) for n in SHOTS}
    rows["TMAML - the best rival"] = {n: results["TMAML"][n] - results[rivals[n]][n] for n in SHOTS}
    for name, of_shots in rows.items():
        cells = (f"{v.mean():.3f} ± {task_interval(v, np.arange(n_tasks)):.3f}" for v in of_shots.values())
        print(f"{name:34}" + "".join(f"{cell:>15}" for cell in cells))


def draw(model, tasks, path, n_shot=3, least_score=0.3):
    """An annotated page of each task, and two others with what is there and what is found."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(tasks), 4, figsize=(11, 2.9 * len(tasks)), layout="constrained", squeeze=False
    )
    for row, (images, targets) in zip(axes, tasks, strict=True):
        labels = labels_of(targets).tolist()
        found = model(images[:n_shot], targets[:n_shot], images[-N_ASKED:])
        row[0].set_ylabel(labels[0].split("/")[0].replace("_", " "))
        _show_page(row[0], images[0, 0], targets[0], labels)
        for ax, i in zip(row[1:], range(-3, 0), strict=True):
            kept = found[i]["scores"] >= least_score
            _show_page(ax, images[i, 0], {n: v[kept] for n, v in found[i].items()}, labels)
            for left, top, right, bottom in targets[i]["boxes"]:
                ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], "k:", linewidth=1)
    axes[0, 0].set_title(f"one of {n_shot} annotated pages")
    for ax in axes[0, 1:]:
        ax.set_title("there (dotted) and found")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _show_page(ax, page, boxes, labels):
    ax.imshow(1 - page, cmap="gray", vmin=-0.6, vmax=1)
    ax.set(xticks=[], yticks=[])
    for i, ((left, top, right, bottom), label) in enumerate(
        zip(boxes["boxes"], boxes["labels"], strict=True)
    ):
        colour = f"C{labels.index(label)}"
        ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=colour, linewidth=2)
        if "scores" in boxes:
            ax.text(left, top - 1, f"{boxes['scores'][i]:.2f}", color=colour, fontsize=7)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Characters on pages.")
    parser.add_argument("--quick", action="store_true", help="few tasks and steps, to see that it runs")
    main(**vars(parser.parse_args()))
