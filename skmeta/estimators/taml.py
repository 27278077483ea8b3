"""TAML: a learned initialisation and a learned update."""

import copy

from sklearn.exceptions import NotFittedError

from skmeta.core.meta_models import BasisMetaModel
from skmeta.estimators.classifier import MetaClassifier
from skmeta.estimators.inference import updates_of_net
from skmeta.estimators.regressor import MetaRegressor


class MetaModelMixin:
    """A meta-model, and what it did."""

    @property
    def updates_(self):
        """The two parts of each step of the last ``adapt``: dict of str to array."""
        self._check_adapted()
        if not hasattr(self, "_adapted_to"):
            raise NotFittedError(
                f"This {type(self).__name__} does not have the support set that updates_ needs: adapt keeps "
                "it, fit, copies and pickles do not. Call adapt(X_support, y_support) before."
            )
        return updates_of_net(self.net_, *self._adapted_to)

    def _remember(self, support):
        # Rows of its own: the user may write to theirs.
        self._adapted_to = support._replace(X=support.X.copy()), self._n_adapt_steps()

    def _make_meta_model(self):
        return BasisMetaModel() if self.meta_model is None else copy.deepcopy(self.meta_model)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_adapted_to"}


class TAMLClassifier(MetaModelMixin, MetaClassifier):
    """Few-shot classifier that meta-learns an initialisation and an update rule (TAML).

    As ``TMAMLClassifier``, but a meta-model g, trained along with the initialisation, predicts from the
    task's support set what else to change at each inner step::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i) + meta_model_lr * g(theta_i, support set)

    g first predicts zero, so an untrained TAML is TMAML. What it adds in a step is at most a tenth as long as
    the parameters that change, at their start; where it predicts more, it is scaled down.

    Parameters
    ----------
    meta_model : nn.Module, default=None
        None is ``skmeta.core.meta_models.BasisMetaModel()``. A module of your own is copied; its ``forward``
        takes a ``skmeta.core.inner_loop.Step`` and returns a dict with an update for each of ``step.params``.
    meta_model_lr : float, default=0.1
        Scale of the predicted update.
    meta_gradient : {"second_order", "first_order"}, default="second_order"
        The two ways that train a meta-model.
    module, hidden_layer_sizes, head, label_space, n_way, n_shot, n_query, inner_lr, inner_steps, \
    adapt_steps, learn_inner_lr, adapt_params, task_regularizer, regularizer_weight, augment, \
    pretrain_iter, optimizer, outer_lr, average, max_iter, meta_batch_size, early_stopping, \
    validation_fraction, n_iter_no_change, tol, callbacks, strategy, device, warm_start, verbose, \
    random_state, **kwargs
        As in ``TMAMLClassifier``, with the same defaults, attributes and errors.

    Attributes
    ----------
    updates_ : dict of str to ndarray
        What each step of the last ``adapt`` was made of. ``"tensors"``: names of the parameters, shape
        (n_tensors,). ``"gradient"``, ``"predicted"``: Euclidean norms of the two parts of the update
        above, ``inner_lr * grad`` and ``meta_model_lr * g``, shape (adapt_steps, n_tensors).
        ``"weights"``, shape (adapt_steps, n_tensors, n_directions), and the names ``"directions"``: how
        much of each g took; not for a module of your own without ``direction_weights``. Found by
        adapting once more, each time it is asked for, from a copy of the support rows, which ``adapt``
        keeps in memory; pickles and copies go without.

    References
    ----------
    S. Baik et al., Meta-Learning with Adaptive Hyperparameters, NeurIPS 2020, for per-tensor rates that
    a small network predicts. Not the TAML of Jamal & Qi (CVPR 2019), for which see ``TMAMLClassifier``.

    Examples
    --------
    >>> from skmeta import TAMLClassifier
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=20, n_test=1, random_state=0)
    >>> clf = TAMLClassifier(max_iter=10, random_state=0).fit(scanners.train)
    >>> X, y = scanners.test[0]
    >>> clf.adapt(X[:20], y[:20]).predict(X[20:22]).shape
    (2,)
    """

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes=(64, 64),
        head="auto",
        label_space="auto",
        n_way=5,
        n_shot=5,
        n_query=15,
        inner_lr=0.05,
        inner_steps=5,
        adapt_steps=None,
        learn_inner_lr=True,
        adapt_params="all",
        meta_model=None,
        meta_model_lr=0.1,
        meta_gradient="second_order",
        task_regularizer=None,
        regularizer_weight=0.1,
        augment=None,
        pretrain_iter=0,
        optimizer="adam",
        outer_lr=2e-3,
        average=0.0,
        max_iter="auto",
        meta_batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        callbacks=None,
        strategy="auto",
        device="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
        **kwargs,
    ):
        super().__init__(
            module=module,
            hidden_layer_sizes=hidden_layer_sizes,
            n_shot=n_shot,
            n_query=n_query,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            adapt_steps=adapt_steps,
            learn_inner_lr=learn_inner_lr,
            adapt_params=adapt_params,
            meta_gradient=meta_gradient,
            task_regularizer=task_regularizer,
            regularizer_weight=regularizer_weight,
            augment=augment,
            pretrain_iter=pretrain_iter,
            optimizer=optimizer,
            outer_lr=outer_lr,
            average=average,
            max_iter=max_iter,
            meta_batch_size=meta_batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            strategy=strategy,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
            **kwargs,
        )
        self.head = head
        self.label_space = label_space
        self.n_way = n_way
        self.meta_model = meta_model
        self.meta_model_lr = meta_model_lr


class TAMLRegressor(MetaModelMixin, MetaRegressor):
    """Few-shot regressor that meta-learns an initialisation and an update rule (TAML).

    To ``TMAMLRegressor`` what ``TAMLClassifier`` is to ``TMAMLClassifier``.

    Parameters
    ----------
    meta_model, meta_model_lr, meta_gradient
        As in ``TAMLClassifier``.
    module, hidden_layer_sizes, n_shot, n_query, inner_lr, inner_steps, adapt_steps, learn_inner_lr, \
    adapt_params, task_regularizer, regularizer_weight, augment, pretrain_iter, optimizer, \
    outer_lr, average, max_iter, meta_batch_size, early_stopping, validation_fraction, n_iter_no_change, \
    tol, callbacks, strategy, device, warm_start, verbose, random_state, **kwargs
        As in ``TMAMLRegressor``, with the same defaults, attributes and errors, and ``updates_`` as in
        ``TAMLClassifier``.

    References
    ----------
    S. Baik et al., Meta-Learning with Adaptive Hyperparameters, NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TAMLRegressor
    >>> rng = np.random.default_rng(0)
    >>> tasks = []
    >>> for slope in rng.normal(size=20):
    ...     X = rng.uniform(-1, 1, size=(20, 1))
    ...     tasks.append((X, slope * X[:, 0]))
    >>> reg = TAMLRegressor(max_iter=10, random_state=0).fit(tasks[:-1])
    >>> X, y = tasks[-1]
    >>> reg.adapt(X[:5], y[:5]).predict(X[5:]).shape
    (15,)
    """

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes=(64, 64),
        n_shot=5,
        n_query=15,
        inner_lr=0.05,
        inner_steps=5,
        adapt_steps=None,
        learn_inner_lr=True,
        adapt_params="all",
        meta_model=None,
        meta_model_lr=0.1,
        meta_gradient="second_order",
        task_regularizer=None,
        regularizer_weight=0.1,
        augment=None,
        pretrain_iter=0,
        optimizer="adam",
        outer_lr=2e-3,
        average=0.0,
        max_iter="auto",
        meta_batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        callbacks=None,
        strategy="auto",
        device="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
        **kwargs,
    ):
        super().__init__(
            module=module,
            hidden_layer_sizes=hidden_layer_sizes,
            n_shot=n_shot,
            n_query=n_query,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            adapt_steps=adapt_steps,
            learn_inner_lr=learn_inner_lr,
            adapt_params=adapt_params,
            meta_gradient=meta_gradient,
            task_regularizer=task_regularizer,
            regularizer_weight=regularizer_weight,
            augment=augment,
            pretrain_iter=pretrain_iter,
            optimizer=optimizer,
            outer_lr=outer_lr,
            average=average,
            max_iter=max_iter,
            meta_batch_size=meta_batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            strategy=strategy,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
            **kwargs,
        )
        self.meta_model = meta_model
        self.meta_model_lr = meta_model_lr
