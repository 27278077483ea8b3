"""TMAML: a learned initialisation, adapted by gradient steps."""

from skmeta.estimators.classifier import MetaClassifier
from skmeta.estimators.detector import MetaDetector
from skmeta.estimators.regressor import MetaRegressor


class TMAMLClassifier(MetaClassifier):
    """Few-shot classifier that meta-learns an initialisation (TMAML).

    Meta-training looks for parameters ``theta`` from which ``inner_steps`` gradient steps on a task's
    support set lead to a low loss on its query set::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i),   starting at theta
        minimise over theta:  mean_i L_i^Q(theta_i) + regularizer_weight * R

    ``adapt`` takes these steps for a new task, and the predictions then speak for it. They are
    inductive: a row's prediction does not depend on the rows beside it. By default the steps change the
    network alone, and the last layer is solved after them: see ``head``.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    C. Finn, P. Abbeel, S. Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks,
    ICML 2017.

    M. A. Jamal, G.-J. Qi, Task Agnostic Meta-Learning for Few-Shot Learning, CVPR 2019: the terms
    ``task_regularizer``. What that paper calls TAML is this estimator with them.

    Examples
    --------
    >>> from skmeta import TMAMLClassifier
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=3, n_test=1, random_state=0)
    >>> clf = TMAMLClassifier(max_iter=20, random_state=0).fit(scanners.train)
    >>> X, y = scanners.test[0]
    >>> clf.adapt(X[:20], y[:20]).predict(X[20:22]).shape
    (2,)
    """


class TMAMLRegressor(MetaRegressor):
    """Few-shot regressor that meta-learns an initialisation (TMAML).

    Meta-training looks for parameters ``theta`` from which ``inner_steps`` gradient steps on the squared
    error of a task's support set lead to a low loss on its query set, a squared error or, of a posterior
    head, a negative log likelihood::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i),   starting at theta
        minimise over theta:  mean_i L_i^Q(theta_i) + regularizer_weight * R

    By default the steps change the network alone, and the last layer is solved after them: see ``head``.
    Targets are brought to the order of one and back inside: a task's level and scale are estimated from its
    support set and what the tasks of ``fit`` have in common (with a posterior head, they are those of all if
    tasks are alike), so that tasks may be alike, or differ by factors of a million, without a parameter to
    set. Without a ``module``, features are standardised too,
    by their means and deviations in ``fit``. Outer gradients are clipped to a norm of 1, which
    ``callbacks__clip_gradient__gradient_clip_value`` changes, those of the inner loop to a norm of 30. A
    fit of flat ``X, y`` takes random parts of the rows as support and query sets.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    C. Finn, P. Abbeel, S. Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks,
    ICML 2017. ``skmeta.tasks.targets.TargetScaler`` has the sources of the scaling.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TMAMLRegressor
    >>> rng = np.random.default_rng(0)
    >>> tasks = []
    >>> for slope in rng.normal(size=9):
    ...     X = rng.uniform(-1, 1, size=(20, 1))
    ...     tasks.append((X, slope * X[:, 0]))
    >>> reg = TMAMLRegressor(max_iter=20, random_state=0).fit(tasks[:-1])
    >>> X, y = tasks[-1]
    >>> reg.adapt(X[:5], y[:5]).predict(X[5:]).shape
    (15,)
    """


class TMAMLDetector(MetaDetector):
    """Few-shot detector of objects that meta-learns an initialisation (TMAML).

    From a few annotated images, find all objects of their classes on others. A fully convolutional network
    maps an image to a grid of cells. A task's last layer tells of each cell whether the centre of an object
    is there, of which class, and where its box is (Objects as Points). The classes' part of that layer is
    solved on the support set's cells, by a ridge regression with learned weights and precisions. Then
    ``inner_steps`` gradient steps on the loss of the support set, none by default, change the last layer, and
    what else ``adapt_params`` names. Meta-training goes through both::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i),   starting at theta and the solved layer
        minimise over theta:  mean_i L_i^Q(theta_i)

    with a focal loss of the heat at centres and an absolute one of boxes. Predictions are inductive: what is
    found on an image does not depend on the others.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    References
    ----------
    X. Zhou, D. Wang, P. Krähenbühl, Objects as Points, 2019, arXiv 1904.07850.

    C. Finn, P. Abbeel, S. Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks,
    ICML 2017.

    L. Bertinetto et al., Meta-learning with differentiable closed-form solvers, ICLR 2019: the solved head.

    Examples
    --------
    >>> from skmeta import TMAMLDetector
    >>> from skmeta.datasets import make_pages
    >>> tasks = make_pages(3, characters="digits", n_pages=3, random_state=0).tasks
    >>> detector = TMAMLDetector(max_iter=2, random_state=0).fit(tasks[:2])
    >>> images, targets = tasks[2]
    >>> found = detector.adapt(images[:1], targets[:1]).predict(images[1:])
    >>> sorted(found[0])
    ['boxes', 'labels', 'scores']
    """
