"""TAML: a learned initialisation and a learned update."""

import copy

from sklearn.exceptions import NotFittedError

from skmeta.core.meta_models import BasisMetaModel
from skmeta.estimators.classifier import MetaClassifier
from skmeta.estimators.detector import MetaDetector
from skmeta.estimators.inference import updates_of_net
from skmeta.estimators.regressor import MetaRegressor


class MetaModelMixin:
    """A meta-model, and what it did.

    Parameters
    ----------
    meta_model : nn.Module or None
        None is ``skmeta.BasisMetaModel()``. A module of your own is copied; its ``forward`` takes a
        ``skmeta.Step`` and returns a dict with an update for each of ``step.params``.
    meta_model_lr : float
        Scale of the predicted update.
    meta_gradient : {"second_order", "first_order"}
        Exact, through the inner loop, or with its gradients as constants: the two ways that train a
        meta-model.

    Attributes
    ----------
    updates_ : dict of str to ndarray
        What each step of the last ``adapt`` was made of. ``"tensors"``: names of the parameters, shape
        (n_tensors,). ``"gradient"``, ``"predicted"``: Euclidean norms of the two parts of the update
        above, ``inner_lr * grad`` and the part of ``meta_model_lr * g`` that was added, shape
        (adapt_steps, n_tensors); no step is made while a posterior head is the start.
        ``"weights"``, shape (adapt_steps, n_tensors, n_directions), and the names ``"directions"``: how
        much of each g took; not for a module of your own without ``direction_weights``. Found by
        adapting once more, each time it is asked for, from a copy of the support rows, which ``adapt``
        keeps in memory; pickles and deep copies go without.
    """

    def __init__(self, *args, meta_model=None, meta_model_lr=0.1, **kwargs):
        super().__init__(*args, **kwargs)
        self.meta_model = meta_model
        self.meta_model_lr = meta_model_lr

    @property
    def updates_(self):
        """The two parts of each step of the last ``adapt``: dict of str to array."""
        self._check_adapted()
        if not hasattr(self, "_adapted_to"):
            raise NotFittedError(
                f"This {type(self).__name__} does not have the support set that updates_ needs: adapt keeps "
                f"it, fit, deep copies and pickles do not. Call adapt({self._support}) before."
            )
        return updates_of_net(self._network(), *self._adapted_to)

    def _remember(self, question):
        # Rows of its own: the user may write to theirs.
        self._adapted_to = question._replace(X=question.X.copy()), self.n_adapt_steps()

    def _make_meta_model(self):
        return BasisMetaModel() if self.meta_model is None else copy.deepcopy(self.meta_model)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_adapted_to"}


class TAMLClassifier(MetaModelMixin, MetaClassifier):
    """Few-shot classifier that meta-learns an initialisation and an update rule (TAML).

    Meta-training looks for parameters ``theta``, and for a meta-model g that predicts from a task's support
    set what else to change, with which ``inner_steps`` steps lead to a low loss on its query set::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i) + meta_model_lr * g(theta_i, support set)
        minimise over theta and g:  mean_i L_i^Q(theta_i) + regularizer_weight * R

    g first predicts zero, so an untrained TAML is TMAML. What it adds in a step is at most a fifth as long as
    the parameters that change, at their start; where it predicts more, it is scaled down. ``adapt`` takes
    these steps for a new task, and the predictions then speak for it. They are inductive: a row's prediction
    does not depend on the rows beside it. By default the steps change the network alone, and the last layer
    is solved after them: see ``head``.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    S. Baik et al., Meta-Learning with Adaptive Hyperparameters, NeurIPS 2020, for per-tensor rates that
    a small network predicts. Not the TAML of Jamal & Qi (CVPR 2019), for which see ``TMAMLClassifier``.

    Examples
    --------
    >>> from skmeta import TAMLClassifier
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=3, n_test=1, random_state=0)
    >>> clf = TAMLClassifier(max_iter=10, random_state=0).fit(scanners.train)
    >>> X, y = scanners.test[0]
    >>> clf.adapt(X[:20], y[:20]).predict(X[20:22]).shape
    (2,)
    """


class TAMLRegressor(MetaModelMixin, MetaRegressor):
    """Few-shot regressor that meta-learns an initialisation and an update rule (TAML).

    Meta-training looks for parameters ``theta``, and for a meta-model g that predicts from a task's support
    set what else to change, with which ``inner_steps`` steps lead to a low loss on its query set::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i) + meta_model_lr * g(theta_i, support set)
        minimise over theta and g:  mean_i L_i^Q(theta_i) + regularizer_weight * R

    g first predicts zero, so an untrained TAML is TMAML. Targets are scaled inside, features too without a
    ``module``, and gradients are bounded: ``TMAMLRegressor`` says how. A fit of flat ``X, y``
    takes random parts of the rows as support and query sets.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    S. Baik et al., Meta-Learning with Adaptive Hyperparameters, NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TAMLRegressor
    >>> rng = np.random.default_rng(0)
    >>> tasks = []
    >>> for slope in rng.normal(size=9):
    ...     X = rng.uniform(-1, 1, size=(20, 1))
    ...     tasks.append((X, slope * X[:, 0]))
    >>> reg = TAMLRegressor(max_iter=10, random_state=0).fit(tasks[:-1])
    >>> X, y = tasks[-1]
    >>> reg.adapt(X[:5], y[:5]).predict(X[5:]).shape
    (15,)
    """


class TAMLDetector(MetaModelMixin, MetaDetector):
    """Few-shot detector of objects that meta-learns an initialisation and an update rule (TAML).

    As ``TMAMLDetector``, with a meta-model g that predicts from a task's support set what else to change in
    each of the ``inner_steps``::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i) + meta_model_lr * g(theta_i, support set)
        minimise over theta and g:  mean_i L_i^Q(theta_i)

    g sees probabilities and heat of the support set's cells in the place of outputs and targets. It first
    predicts zero, so an untrained TAML is TMAML.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    X. Zhou, D. Wang, P. Krähenbühl, Objects as Points, 2019, arXiv 1904.07850.

    S. Baik et al., Meta-Learning with Adaptive Hyperparameters, NeurIPS 2020.

    Examples
    --------
    >>> from skmeta import TAMLDetector
    >>> from skmeta.datasets import make_pages
    >>> tasks = make_pages(3, characters="digits", n_pages=3, random_state=0).tasks
    >>> detector = TAMLDetector(max_iter=2, random_state=0).fit(tasks[:2])
    >>> images, targets = tasks[2]
    >>> found = detector.adapt(images[:1], targets[:1]).predict(images[1:])
    >>> sorted(found[0])
    ['boxes', 'labels', 'scores']
    """
