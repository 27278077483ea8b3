"""The classifiers: labels to class numbers, heads, and what classifiers answer."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d, compute_class_weight

from skmeta.core import losses
from skmeta.core.heads import HEADS, LinearHead
from skmeta.core.inequality import INEQUALITIES
from skmeta.core.posterior import LeastSquaresHead, LogisticHead
from skmeta.estimators.auto import chosen_head, chosen_shots
from skmeta.estimators.base import MetaEstimator
from skmeta.tasks.batch import OwnClasses, SharedClasses
from skmeta.tasks.label_space import are_shared
from skmeta.tasks.split import check_query_classes, usable_rows
from skmeta.tasks.weights import balancing, times


@dataclass
class ClassPlan:
    """How a fit reads the classes.

    ``codes`` numbers the class of each row, ``rows`` are those of tasks that can give an episode. With
    ``classes``, those of a shared label space, the head has a row for each of them; without, an episode
    numbers its own, and the head takes any number. ``n_way`` is None if labels are shared, whatever the head.
    ``shots`` has the ``n_shot`` of each kind of draw, ``"natural"`` and ``"stratified"``, that is made.
    ``weight`` is what each row counts, for its class too; None is one. ``class_weights`` are those of shared
    classes; classes of a task's own ``are_balanced`` in each episode, or not. ``n_centers`` are those of the
    kernel that the start has, if any.
    """

    codes: np.ndarray
    rows: np.ndarray
    classes: np.ndarray | None
    shared: bool
    head: str
    n_way: int | None
    shots: dict
    one_task: bool
    weight: np.ndarray | None
    class_weights: np.ndarray | None
    are_balanced: bool
    n_centers: int = 0

    loss, measure = staticmethod(losses.cross_entropy), staticmethod(losses.accuracy)
    largest_inner_gradient = None

    @property
    def gradient_clip(self):
        return 1.0 if self.head == "posterior" else None

    @property
    def classes_are_own(self):
        return self.classes is None

    @property
    def suits_kernel(self):
        """Whether a kernel may be found by targets or shared classes, as if these were normal."""
        return not self.classes_are_own

    @property
    def least_squares(self):
        """Whether a posterior head is solved by least squares, with means of zero to start from."""
        return self.classes_are_own or len(self.classes) > 2

    @property
    def start_suffices(self):
        """Whether the start of a posterior head can stand alone: a mixed model, or a local one."""
        return self.one_task or self.classes_are_own or not self.least_squares

    @property
    def targets(self):
        return torch.as_tensor(self.codes)

    @property
    def labels(self):
        return OwnClasses(self.are_balanced) if self.classes is None else SharedClasses()

    def learn(self, rows):
        """Nothing is learned of labels before meta-training."""

    def make_head(self, n_features):
        if self.head == "posterior":
            if not self.least_squares:
                return LogisticHead(n_features)
            return LeastSquaresHead(n_features, None if self.classes is None else len(self.classes))
        if self.classes is None:
            return HEADS[self.head](n_features)
        return LinearHead(n_features, len(self.classes))


class MetaClassifier(ClassifierMixin, MetaEstimator):
    """Base of the classifiers.

    Parameters
    ----------
    head : {"auto", "linear", "tied", "prototype", "cosine", "posterior"}
        How the last layer of a task starts. ``"linear"``: a learned row for each class of the shared
        label space. ``"tied"``: one learned row for all classes. ``"prototype"``: from the class means
        of the support set, the nearest by distance. ``"cosine"``: from them, the nearest by angle. With
        ``"posterior"`` the last layer is not adapted by the inner loop but solved after it: the posterior
        of a Gaussian prior that is learned over the tasks, given the support set. It starts as a mixed model
        of the features, with two shared classes; with more, or labels of a task's own, as ridge regression
        on its rows, brought to one length where that answers the own classes of training better.
        ``"auto"``: posterior for the default network, learned through the inner loop and without a
        ``task_regularizer``; else linear for a shared label space, prototype for labels of a task's own.
    label_space : {"auto", "shared", "per_task"}
        Whether a label means the same in every task. ``"auto"``: shared if some task holds every class
        that occurs, or if most classes occur in several tasks; of a single task, if there are at most
        ``n_way`` classes. Of three labels or more that each of ten tasks or more has from 0 or from 1 on,
        without a ``module``: if means, numbers or neighbours of classes are alike between tasks, by
        permutation tests.
    n_way : int
        Classes in an episode of a per-task label space; with a shared one, all that the task holds.
    sampling : {"auto", "natural", "stratified"}
        How an episode is drawn: ``"stratified"``, so many rows of each class; ``"natural"``, so many
        rows of the task at random, whatever their class. ``"auto"`` is stratified; in training with the
        posterior head, natural if labels are shared, and of more than two classes both in turn.
    n_shot : int, tuple (least, most) or "auto"
        Support rows in an episode: of each class in a stratified draw, in all in a natural one. With a
        pair it varies in training, from the least to the most, small numbers as often as large ones. Of a
        class with fewer than ``n_shot + 1`` rows, half are support. ``"auto"`` is 5; with the posterior head
        (1, 30) in natural draws, (1, 5) in stratified ones.
    n_query : int
        Query rows in an episode, counted likewise.
    class_weight : dict of label to float, "balanced" or None
        What rows of each class count, times their ``sample_weight``, in ``fit`` and ``adapt``, as if classes
        were that frequent; features are standardised without it. ``"balanced"``: together, those of each
        class count alike over all rows of ``fit``, or with labels of a task's own, of which a dict says
        nothing, in each support set and query set.
    task_regularizer : None or {"entropy", "theil", "gini", "atkinson", "generalized_entropy", "log_variance"}
        The term R, of the model before adaptation: undecided outputs, or an inequality of the task
        losses, which wants them even.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes of the adapted task: those of its support set, or the shared label space.
    label_space_ : {"shared", "per_task"}
        Whether a label means the same in every task, as it was found or set.
    validation_scores_ : list of float
        Mean accuracy on the held-out episodes at each epoch, or log likelihood with the posterior head, of
        folds calibrated; empty without early stopping.
    """

    score = MetaEstimator.score  # of tasks too; ClassifierMixin's knows rows only

    def __init__(self, *args, label_space="auto", n_way=5, sampling="auto", class_weight=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.label_space = label_space
        self.n_way = n_way
        self.sampling = sampling
        self.class_weight = class_weight

    def predict(self, X):
        """Classes of the adapted task's rows.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_query, ...)

        Returns
        -------
        array of shape (n_query,)
        """
        outputs = self._answers(X, with_variance=False)["outputs"]  # the largest one is the same
        return self.decide(outputs, self.classes_)

    def predict_log_proba(self, X):
        """Logarithms of ``predict_proba``, shape (n_query, n_classes)."""
        return log_softmax(self._outputs(X), axis=1)

    def predict_proba(self, X):
        """Class probabilities of the adapted task's rows, in the order of ``classes_``.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_query, ...)

        Returns
        -------
        array of shape (n_query, n_classes)
        """
        return softmax(self._outputs(X), axis=1)

    def decision_function(self, X):
        """Logits, shape (n_query, n_classes); with two classes, the second's over the first's, (n_query,)."""
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs

    @property
    def label_space_(self):
        """``"shared"`` or ``"per_task"``: whether a label means the same in every task."""
        self._check_meta_trained()
        return "shared" if self._is_shared else "per_task"

    @property
    def _own_classes(self):
        return self._classes is None

    def decide(self, outputs, classes):
        """Classes by logits of shape (n_rows, n_classes)."""
        return classes[outputs.argmax(1)]

    def _is_natural(self):
        return self.sampling == "natural"

    def _make_plan(self, tasks):
        classes, codes = np.unique(tasks.y, return_inverse=True)
        shared = self._are_shared(tasks, codes, classes)
        head = chosen_head(self, own_classes=not shared)
        draws = self._draws(shared and head == "posterior", len(classes))
        shots = chosen_shots(self.n_shot, head, draws, own_classes=not shared)
        self._check_combination()
        self._check_head(head, shared)
        self._check_head_can_learn(head)
        if len(classes) < 2:
            has = "y has" if tasks.flat else "the tasks have"
            raise ValueError(f"{has} only 1 class, {classes[0].item()!r}; a classifier needs 2 or more.")
        own_classes = not shared if head == "posterior" else head != "linear"
        if own_classes and tasks.given is None and np.min(list(shots.values())) == 0:
            raise ValueError(
                f"The 'n_shot' parameter of {type(self).__name__} must be 1 or more where the last layer is "
                f"made of the classes of a support set, by head={head!r}. Got {self.n_shot!r} instead. Pass "
                f"{self._way_to_shared_classes()} if labels mean the same in every task."
            )
        if own_classes and tasks.given is None and np.min(shots.get("natural", 2)) < 2:
            raise ValueError(
                f"The 'n_shot' parameter of {type(self).__name__} must be 2 or more in natural draws where "
                f"the last layer is made of the classes of a support set, by head={head!r}. Got "
                f"{self.n_shot!r} instead. Pass more, or sampling='stratified'."
            )
        class_weights = self._weights_of_classes(tasks, codes, classes, own_classes)
        natural = "natural" in shots
        n_shot = shots["natural" if natural else "stratified"]
        rows = usable_rows(tasks, codes, natural=natural, own_classes=own_classes, n_shot=n_shot)
        if tasks.given is not None and own_classes:
            check_query_classes(tasks, codes, classes, rows)
        return ClassPlan(
            codes=codes,
            rows=rows,
            classes=None if own_classes else classes,
            shared=shared,
            head=head,
            n_way=None if shared else self.n_way,
            shots=shots,
            one_task=shared and tasks.n_tasks == 1,
            weight=times(tasks.weight, None if class_weights is None else class_weights[codes]),
            class_weights=class_weights,
            are_balanced=self.class_weight is not None,
        )

    def _weights_of_classes(self, tasks, codes, classes, own_classes):
        """What a row of each of the shared classes counts; None is one, or that tasks balance their own."""
        if self.class_weight is None:
            return None
        if self.class_weight == "balanced":
            size = torch.as_tensor(np.bincount(codes, tasks.weight, minlength=len(classes))).double()
            return None if own_classes else balancing(size).numpy()
        if own_classes:
            raise ValueError(
                "class_weight must be None or 'balanced' where the last layer is made of the classes of a "
                f"support set. Got {self.class_weight!r} instead. Pass {self._way_to_shared_classes()} if "
                "labels mean the same in every task."
            )
        try:
            weights = compute_class_weight(self.class_weight, classes=classes, y=tasks.y)
        except ValueError as error:
            raise ValueError(f"class_weight={self.class_weight!r}: {error}") from error
        if not weights.any():
            raise ValueError(f"class_weight must be above 0 for a class. Got {self.class_weight!r} instead.")
        return weights

    def _draws(self, solves_shared, n_classes):
        """Kinds of draws that episodes are made by."""
        if self.sampling != "auto":
            return (self.sampling,)
        if not solves_shared:
            return ("stratified",)
        # Of many classes, support sets are either: a few rows of each, or whatever came first.
        return ("natural",) if n_classes == 2 else ("natural", "stratified")

    def _continue_plan(self, plan, tasks):
        if not np.array_equal(plan.classes, self._classes):
            raise ValueError(
                f"With warm_start, the tasks must have the classes of the last fit, {self._classes}; "
                f"got {plan.classes}. None stands for classes that each task numbers for itself."
            )

    def _keep_plan(self, plan, tasks):
        self._labels, self._classes, self._is_shared = plan.labels, plan.classes, plan.shared
        self._class_weights = plan.class_weights

    def _check_head(self, head, shared):
        if head == "linear" and not shared:
            raise ValueError(
                "head='linear' has one row for each class of a shared label space, but label_space is "
                "per_task here. Use head='tied', 'prototype' or 'cosine', or label_space='shared'."
            )
        if head == "tied" and self.meta_gradient == "joint":
            raise ValueError(
                "head='tied' starts all classes alike, so meta_gradient='joint', which takes no inner step, "
                "cannot learn. Use head='prototype' or another meta_gradient."
            )
        if head == "tied" and self.task_regularizer in INEQUALITIES:
            raise ValueError(
                "head='tied' starts all classes alike, so the task losses before adaptation are the same, "
                f"and task_regularizer={self.task_regularizer!r} has no effect. Use head='prototype'."
            )

    def _are_shared(self, tasks, codes, classes):
        """Whether a label means the same in every task, by the rule of ``label_space``."""
        if self.label_space != "auto":
            return self.label_space == "shared"
        if tasks.n_tasks == 1:
            return len(classes) <= self.n_way
        return are_shared(tasks, codes, classes, self.module is None and len(tasks.X.shape) == 2)

    def _encode_support(self, y, weight, where=""):
        """Number of each support row's class, what the row counts, and the classes of the task."""
        if self._classes is not None:
            codes = self._known_codes(y, where)
            of_classes = None if self._class_weights is None else self._class_weights[codes]
            return torch.as_tensor(codes), times(weight, of_classes), self._classes
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            has = f"only the class {classes[0].item()!r}" if len(classes) else "no rows"
            raise ValueError(
                f"{where}y has {has}; a task needs 2 classes or more, since the last layer is made of those "
                f"of its support set. Fit with {self._way_to_shared_classes()} if labels mean the same "
                "in every task."
            )
        return torch.as_tensor(codes), weight, classes

    def _way_to_shared_classes(self):
        suits = self.head in ("auto", "linear", "posterior")
        return "label_space='shared'" if suits else "label_space='shared' and head='linear'"

    def _known_codes(self, y, where):
        if len(y) == 0:
            return np.zeros(0, dtype=np.int64)
        try:
            codes = np.searchsorted(self._classes, y).clip(max=len(self._classes) - 1)
            unknown = self._classes[codes] != y
        except TypeError:  # labels of a type that those of fit cannot be compared with
            unknown = np.ones(len(y), dtype=bool)
        if unknown.any():
            labels = np.unique(y[unknown])[:5].tolist()
            raise ValueError(
                f"{where}y has labels that no task of fit had: {labels}. With a shared "
                "label space only known classes can be adapted to; fit with label_space='per_task' "
                "for new ones."
            )
        return codes

    def _set_task(self, classes):
        self.classes_ = classes

    def _score_rows(self, X, y, sample_weight):
        predicted, y = self.predict(X), column_or_1d(y)
        if not np.isin(y, self.classes_).any():
            raise ValueError(
                "None of the labels in y is among the classes_ of the adapted task, "
                f"{self.classes_[:5].tolist()}. To score tasks, pass groups, the task of each row; in a "
                "search or pipeline, call sklearn.set_config(enable_metadata_routing=True) so that groups "
                "reach score."
            )
        return accuracy_score(y, predicted, sample_weight=sample_weight)

    def _metric(self, y, predicted, weight):
        return accuracy_score(y, predicted, sample_weight=weight)
