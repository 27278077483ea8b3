"""From a detector's parameters and checked pages to the engine, and from what a network says to objects."""

from functools import partial

import numpy as np
import torch

from skmeta import engine
from skmeta.core.backbones import FeaturePyramid
from skmeta.core.cells import CellBackbone, CellHead, CellLoss
from skmeta.core.losses import OuterObjective, log_likelihood
from skmeta.detection.cells import N_BOX, decode
from skmeta.estimators.inference import Network, answers_of_rows
from skmeta.estimators.modules import look_at_map, make_backbone
from skmeta.estimators.training import (
    adapted_names,
    callbacks_of,
    make_net,
    of_inner_loop,
    skorch_params,
)
from skmeta.tasks import limits
from skmeta.tasks.cells import CellLabels
from skmeta.tasks.pages import filled_side, stacked, usable_pages
from skmeta.tasks.preparation import Preparation
from skmeta.tasks.split import hold_out, make_sampler

# Boxes of an image that are found, at most, and the overlap of two of a class of which the worse is dropped.
MOST_FOUND, MOST_OVERLAP = 100, 0.4
# Support pages of what is scored, query pages of what is validated on, and episodes of that, at least.
SCORED_PAGES, VALIDATION_QUERIES, VALIDATION_EPISODES = 3, 5, 32
# Of a cell, that classes are told apart by.
N_FEATURES = 64
# Outer gradients are clipped to this norm: now and then a page is full of what looks like an object.
GRADIENT_CLIP = 5.0


def split_pages(estimator, pages, seed):
    """Numbers of the pages to train on, and of those that are held out, which may be none."""
    usable = usable_pages(pages)
    if not estimator.early_stopping:
        return usable, usable[:0]
    rng, none = np.random.default_rng(seed), np.zeros_like(pages.task)
    held_out = hold_out(pages, none, usable, estimator.validation_fraction, None, rng)[usable]
    return usable[~held_out], usable[held_out]


def make_network(estimator, pages, rows, device):
    """The ``Network`` of a detector: its initialised skorch net, for images like those of these pages."""
    of_module, of_net = skorch_params(estimator)
    module = FeaturePyramid if estimator.module is None else estimator.module
    module = make_backbone(module, pages.X.shape[1:], (), of_module)
    n_mapped, stride = look_at_map(module, torch.as_tensor(pages.X[rows[: limits.SAMPLE_PAGES]]))
    standards = _standards(pages, rows) if estimator.module is None else ()
    backbone = CellBackbone(module, n_mapped, N_FEATURES, *standards)
    learner = engine.MetaLearner(
        backbone,
        CellHead(N_FEATURES),
        objective=OuterObjective(CellLoss()),
        adapted=adapted_names(backbone, estimator.adapt_params),
        meta_model=estimator._make_meta_model(),
        inner_steps=estimator._n_inner_steps(),
        **of_inner_loop(estimator),
    )
    first = engine.clip_gradient(GRADIENT_CLIP) + engine.cosine_decay(estimator.max_iter)
    callbacks = callbacks_of(estimator, first, partial(log_likelihood, CellLoss()))
    net = make_net(estimator, learner, callbacks, device, **of_net)
    return Network(net, Preparation(torch.get_default_dtype()), CellLabels(stride))


def _standards(pages, rows):
    """Mean and deviation of each channel, of some images."""
    some = rows[:: max(1, len(rows) // limits.PAGES_LOOKED_AT)]
    pixels = [pages.image(i).reshape(pages.X.shape[1], -1) for i in some]
    pixels = np.concatenate(pixels, axis=1, dtype=np.float64)
    deviation = pixels.std(1)
    standards = pixels.mean(1), np.where(deviation > 0, deviation, 1)
    return [torch.as_tensor(values, dtype=torch.get_default_dtype()) for values in standards]


def make_sources(estimator, network, pages, training, held_out, seed):
    """Where the meta-batches come from: ``EpisodeSource`` to train on, and to validate on or None."""
    rows, labels = network.rows(pages.X), np.zeros_like(pages.task)

    def source(numbers, n_shot, n_query, n_steps):
        sampler = make_sampler(pages, labels, numbers, n_way=None, n_shot=n_shot, n_query=n_query)
        read = rows, network.labels, pages.objects, seed, range(n_steps)
        return engine.EpisodeSource(sampler, *read, dtype=network.dtype)

    of_training = source(training, estimator.n_shot, estimator.n_query, estimator.max_iter)
    if len(held_out) == 0:
        return of_training, None
    n_episodes = max(VALIDATION_EPISODES, len(np.unique(pages.task[held_out])))
    n_steps = -(-n_episodes // estimator.meta_batch_size)
    return of_training, source(held_out, SCORED_PAGES, VALIDATION_QUERIES, n_steps)


def find_objects(network, params, classes, images, least_score):
    """Dicts of boxes, labels and scores of images; those that are filled up alike are computed together."""
    answers, of_shape = [None] * len(images), {}
    for i, image in enumerate(images):
        of_shape.setdefault(tuple(map(filled_side, image.shape[1:])), []).append(i)
    stride = network.labels.stride
    for sides, numbers in of_shape.items():
        shape = sides[0] // stride, sides[1] // stride
        outputs = answers_of_rows(network, params, stacked([images[i] for i in numbers]))["outputs"]
        outputs = outputs.reshape(len(numbers), shape[0] * shape[1], -1)[..., : N_BOX + len(classes)]
        for i, of_image in zip(numbers, outputs, strict=True):
            how = {"least_score": least_score, "most_overlap": MOST_OVERLAP, "most_found": MOST_FOUND}
            boxes, codes, scores = decode(of_image, shape, stride, images[i].shape[1:], **how)
            answers[i] = {"boxes": boxes, "labels": classes[codes], "scores": scores}
    return answers
