"""The detectors: meta-train on images with boxes, adapt, find objects."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch

from skmeta.detection import average_precision
from skmeta.engine import meta_train, own_random_state
from skmeta.estimators.defaults import HasTraining
from skmeta.estimators.detecting import (
    SCORED_PAGES,
    find_objects,
    make_network,
    make_sources,
    split_pages,
)
from skmeta.estimators.inference import Question, adapted_params
from skmeta.estimators.meta_trained import MetaTrained
from skmeta.estimators.params import check_params, is_range, is_same
from skmeta.estimators.training import choose_device
from skmeta.parameter_rules import COUNT, Kind, Number, Options, check_value
from skmeta.tasks.pages import (
    check_channels,
    number_support,
    read_pages,
    read_tasks_of_pages,
    usable_pages,
)
from skmeta.tasks.split import make_sampler

# Score of the least objects that an average precision is of.
LEAST_SCORE = 0.01
SCORE = Kind(lambda v: isinstance(v, Real) and not isinstance(v, bool) and 0 <= v <= 1, "a float in [0, 1]")


class MetaDetector(MetaTrained, HasTraining):
    """Base of the detectors.

    Parameters
    ----------
    module : nn.Module, its class or a factory
        Maps images ``(n_images, n_channels, height, width)`` to a feature map ``(n_images, n_features, rows,
        columns)`` of a stride of 2, 4, 8 or 16, which is found. None is ``skmeta.FeaturePyramid``, whose
        pixels are standardised; another one gets them as passed. A class is called with ``in_channels`` and
        ``input_shape`` if its signature names them, and the ``module__*`` arguments. An instance is copied;
        its frozen parameters stay frozen.
    n_shot : int or tuple (least, most)
        Images in the support set of an episode; of a pair, small numbers as often as large ones.
    n_query : int
        Images in its query set, at most.
    inner_lr : float
        Step size of the inner loop.
    inner_steps : int or "auto"
        Steps of the inner loop while meta-training; 0 leaves the last layer as it is solved. ``"auto"`` is 0,
        or 1 with a meta-model, which has nothing to predict without a step. Steps made the loss of new pages
        less, by surer answers, but found no more.
    adapt_steps : int or None
        Steps that ``adapt`` takes; None is as many as in training, 0 leaves the last layer as it is solved.
    learn_inner_lr : bool
        Learn a positive step size for each parameter tensor that the steps change, from ``inner_lr`` on.
    adapt_params : {"all", "head"} or list of str
        What the inner loop changes; patterns such as ``"backbone.box.*"`` are matched with the names in
        ``adapted_params_``. ``"head"`` is the last layer: of classes, and of where the box is.
    meta_gradient : {"second_order", "first_order"}
        Exact, through the inner loop (MAML), or with its gradients as constants (FOMAML).
    outer_lr : float
        Step size of the outer loop at its first step; it falls to zero at the last, as half a cosine.
    average : float
        Decay of a moving average of the outer loop's iterates, which is what is kept; 0 keeps the last one.
    max_iter : int
        Outer steps.
    meta_batch_size : int
        Episodes in an outer step.
    early_stopping : bool
        Hold out tasks for meta-validation and keep the state whose loss there is the least, by a look after
        each epoch of 50 outer steps.
    validation_fraction : float
        Share of the tasks that is held out.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the adapted task.
    n_channels_ : int
        Of images.
    stride_ : int
        Pixels of the side of a cell of the feature map.
    n_iter_ : int
        Outer steps, skipped ones included.
    validation_scores_ : list of float
        Minus the loss on held-out tasks at each epoch; empty without early stopping.
    """

    _support = "images, targets"
    _own_rules: ClassVar = {
        "n_shot": [
            COUNT,
            Kind(lambda v: is_range(v) and v[0] > 0, "a pair (least, most) of ints, 1 or more"),
        ],
        "inner_steps": [Number(Integral, 0), Options(("auto",))],
        "meta_gradient": [Options(("second_order", "first_order"))],
        "outer_lr": [Number(Real, 0, closed=False)],
        "average": [Number(Real, 0, 1)],
        "max_iter": [COUNT],
        "early_stopping": [Kind(lambda v: isinstance(v, bool), "a bool")],
        "validation_fraction": [Number(Real, 0, 1, closed=False)],
    }

    def __init__(
        self,
        module=None,
        *,
        n_shot=(1, 5),
        n_query=3,
        inner_lr=0.005,
        inner_steps="auto",
        adapt_params="head",
        outer_lr=0.004,
        average=0.99,
        max_iter=3000,
        meta_batch_size=1,
        early_stopping=False,
        validation_fraction=0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.module = module
        self.n_shot = n_shot
        self.n_query = n_query
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.adapt_params = adapt_params
        self.outer_lr = outer_lr
        self.average = average
        self.max_iter = max_iter
        self.meta_batch_size = meta_batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction

    def fit(self, tasks, y=None):
        """Meta-train on tasks.

        Parameters
        ----------
        tasks : list of tuples (images, targets), or TaskList
            Images, an array of shape ``(n_images, n_channels, height, width)`` or a list of arrays
            ``(n_channels, height, width)``, and a list of a dict for each: ``boxes``, array-like of shape
            ``(n_objects, 4)``, left, top, right and bottom edge in pixels, and ``labels``, of shape
            ``(n_objects,)``, strings or numbers that mean something inside the task alone. All objects of a
            task's classes have a box. Episodes are drawn from a task's images; with a query set, two more
            parts, a task is used as it is. All images are in memory, those of a TaskList too.
        y : None
            There are no labels beside the tasks.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, an image or a box is not allowed, or no task can give an episode.
        FloatingPointError
            If most outer steps were not finite.
        """
        probe = self._checked_copy()
        if y is not None:
            raise ValueError("y must be None: a task is a tuple (images, targets) with labels of its own.")
        pages = read_tasks_of_pages(tasks)
        seed, device = probe._draw_seed(), choose_device(probe.device)
        training, held_out = split_pages(probe, pages, seed)
        with own_random_state(seed, device):
            network = make_network(probe, pages, training, device)
        sources = make_sources(probe, network, pages, training, held_out, seed)
        meta_train(network.net, *sources, seed)
        network.net.module_.eval()
        self._keep_network(network, pages.n_tasks)
        self.n_channels_, self.stride_ = pages.X.shape[1], network.labels.stride
        self.n_iter_ = len(self.loss_curve_)
        return self

    def adapt(self, images, targets):
        """Adapt to one task by annotated images, always from the meta-trained state.

        Parameters
        ----------
        images, targets : as a task in ``fit``

        Returns
        -------
        self

        Raises
        ------
        FloatingPointError
            If the adapted parameters are not finite.
        """
        self._check_meta_trained()
        check_params(self)
        question = self._ask(images, targets)
        self.adapted_params_ = adapted_params(self._network(), question, self.n_adapt_steps())
        self.classes_ = question.decoder
        self._remember(question)
        return self

    def predict(self, images, least_score=0.1):
        """Objects of the adapted task's classes.

        Parameters
        ----------
        images : array of shape (n_images, n_channels, height, width), or a list of arrays
        least_score : float in [0, 1], default=0.1
            Objects of a lower score are left out.

        Returns
        -------
        list of dict
            Of each image ``boxes``, float32 of shape ``(n_found, 4)``, left, top, right and bottom edge in
            pixels, ``labels`` and ``scores``, both of shape ``(n_found,)``, best first. Of boxes of a label
            that overlap by more than 0.4 only the best is kept.
        """
        self._check_adapted()
        least_score = check_value("predict", "least_score", least_score, [SCORE])
        images, _ = read_pages(images)
        check_channels(images, self.n_channels_, "", "those of fit had")
        return find_objects(self._network(), self.adapted_params_, self.classes_, images, least_score)

    def predict_tasks(self, supports, images, least_score=0.1):
        """Adapt to many tasks and find their objects; the adapted state stays as it is.

        Parameters
        ----------
        supports : list of tuples (images, targets)
        images : list of images of each task, as in ``predict``
        least_score : float in [0, 1], default=0.1

        Returns
        -------
        list of lists of dict
        """
        self._check_meta_trained()
        check_params(self)
        least_score = check_value("predict_tasks", "least_score", least_score, [SCORE])
        if len(supports) != len(images):
            raise ValueError(
                "supports and images must have one entry for each task; "
                f"got {len(supports)} and {len(images)}."
            )
        network, answers = self._network(), []
        for i, (support, asked) in enumerate(zip(supports, images, strict=True)):
            question = self._ask(*support, where=f"task {i}, ")
            params = adapted_params(network, question, self.n_adapt_steps())
            asked, _ = read_pages(asked, where=f"task {i}, ")
            check_channels(asked, self.n_channels_, f"task {i}, ", "those of fit had")
            answers.append(find_objects(network, params, question.decoder, asked, least_score))
        return answers

    def score(self, tasks, y=None):
        """Mean over tasks of the average precision at an overlap of 0.5, after adapting to each.

        Parameters
        ----------
        tasks : as in ``fit``
            A task without a query set of its own is split, the same way at every call: 3 images, or half of
            them where there are fewer than 6, are its support set, and objects of their classes on the others
            are to be found.
        y : None

        Returns
        -------
        float
        """
        self._check_meta_trained()
        pages = read_tasks_of_pages(tasks)
        usable = usable_pages(pages)
        sampler = make_sampler(
            pages, np.zeros_like(pages.task), usable, n_way=None, n_shot=SCORED_PAGES, n_query=len(usable)
        )
        numbers = torch.arange(sampler.n_tasks)
        episodes = list(sampler.draw(numbers, torch.Generator().manual_seed(0)).rows())
        supports = [pages.parts(support) for support, _ in episodes]
        asked = [pages.parts(query) for _, query in episodes]
        found = self.predict_tasks(supports, [images for images, _ in asked], LEAST_SCORE)
        scores = []
        for answer, (_, targets), (_, known) in zip(found, asked, supports, strict=True):
            scores.append(average_precision(answer, _of_classes(targets, known)))
        return float(np.nanmean(scores))

    def _ask(self, images, targets, where=""):
        images, targets = read_pages(images, targets, where)
        if not images:
            raise ValueError(f"{where}images must hold 1 image or more; got none.")
        check_channels(images, self.n_channels_, where, "those of fit had")
        pages = number_support(images, targets, where)
        return Question(pages.X, pages.objects, pages.classes[0], where=where)

    def n_adapt_steps(self):
        """How many inner steps ``adapt`` makes."""
        return self._n_inner_steps() if self.adapt_steps is None else self.adapt_steps

    def _n_inner_steps(self):
        if is_same(self.inner_steps, "auto"):
            return 1 if hasattr(self, "meta_model") else 0
        return self.inner_steps


def _of_classes(targets, known):
    """The targets without objects whose label no target of ``known`` has."""
    labels = np.concatenate([target["labels"] for target in known])
    kept = [np.isin(target["labels"], labels) for target in targets]
    return [{n: v[own] for n, v in target.items()} for target, own in zip(targets, kept, strict=True)]
