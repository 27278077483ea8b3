"""What all estimators share: meta-train with ``fit``, ``adapt`` to a task, predict for it."""

import copy
import inspect
import secrets
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from skmeta.engine import meta_train, own_random_state
from skmeta.estimators.inference import Support, adapt_net, outputs_of_rows, outputs_of_tasks
from skmeta.estimators.params import SKORCH_PREFIXES, check_names, check_params, is_same
from skmeta.estimators.training import (
    choose_device,
    copy_net,
    make_net,
    make_sources,
    pretrain,
)
from skmeta.tasks.rows import check_rows, describe, is_task_list, read_tasks

# Parameters that a warm start obeys or need not.
MAY_CHANGE = "max_iter", "adapt_steps", "warm_start", "verbose", "random_state"
# What max_iter="auto" means. One task alone has nothing to share with others.
STEPS_FOR_TASKS = 600
STEPS_FOR_ONE_TASK = 20


class MetaEstimator(BaseEstimator):
    """Base of the estimators; a subclass plans a fit, encodes labels, reads outputs and scores."""

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__score: ClassVar = {"groups": True}
    _skorch_params: ClassVar = {}
    _least_to_score = 1

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # scikit-learn's checks and the help show named parameters; skorch's spellings have no end.
        signature = inspect.signature(cls.__init__)
        named = [p for p in list(signature.parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
        cls.__signature__ = signature.replace(parameters=named)

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes,
        n_shot,
        n_query,
        inner_lr,
        inner_steps,
        adapt_steps,
        learn_inner_lr,
        adapt_params,
        meta_gradient,
        task_regularizer,
        regularizer_weight,
        augment,
        pretrain_iter,
        optimizer,
        outer_lr,
        average,
        max_iter,
        meta_batch_size,
        early_stopping,
        validation_fraction,
        n_iter_no_change,
        tol,
        callbacks,
        strategy,
        device,
        warm_start,
        verbose,
        random_state,
        **kwargs,
    ):
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_shot = n_shot
        self.n_query = n_query
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.adapt_steps = adapt_steps
        self.learn_inner_lr = learn_inner_lr
        self.adapt_params = adapt_params
        self.meta_gradient = meta_gradient
        self.task_regularizer = task_regularizer
        self.regularizer_weight = regularizer_weight
        self.augment = augment
        self.pretrain_iter = pretrain_iter
        self.optimizer = optimizer
        self.outer_lr = outer_lr
        self.average = average
        self.max_iter = max_iter
        self.meta_batch_size = meta_batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.strategy = strategy
        self.device = device
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        if kwargs:
            check_names(self, kwargs, self._get_param_names(), TypeError)
            self._skorch_params = dict(kwargs)

    def get_params(self, deep=True):
        """Parameters by name, skorch's spellings included."""
        return super().get_params(deep) | self._skorch_params

    def set_params(self, **params):
        """Set parameters, skorch's spellings included, and return the estimator."""
        ours = {name: value for name, value in params.items() if name.startswith(SKORCH_PREFIXES)}
        theirs = {name: value for name, value in params.items() if name not in ours}
        # scikit-learn would set those before the first wrong one.
        check_names(self, theirs, self._get_param_names(), ValueError)
        super().set_params(**theirs)
        if ours:
            self._skorch_params = self._skorch_params | ours
        return self

    def fit(self, X, y=None, *, groups=None):
        """Meta-train on tasks.

        Parameters
        ----------
        X : list of tuples, or {array, sparse matrix, DataFrame} of shape (n_rows, ...)
            Tasks, each ``(X_i, y_i)``, from which episodes are drawn, or ``(X_support, y_support,
            X_query, y_query)``, used as it is; or rows, with ``y``.
        y : array of shape (n_rows,), default=None
            Labels of flat rows; None for a list of tasks.
        groups : array of shape (n_rows,), default=None
            Task of each flat row. Without it, episodes are drawn from all rows, and the estimator is
            adapted to ``(X, y)`` at the end.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the input is not allowed, or a task cannot give an episode; it is named.
        FloatingPointError
            If most outer steps were not finite.
        """
        check_params(self)
        resume = self.warm_start and hasattr(self, "net_")
        if resume:
            self._check_unchanged()
        # A copy takes what validation learns, so that bad input leaves the estimator as it was.
        probe = copy.copy(self)
        tasks = read_tasks(probe, X, y, groups, reset=not resume)
        plan = self._make_plan(tasks)
        if resume:
            self._continue_plan(plan, tasks)
        seed = self._seed if resume else self._draw_seed()
        first = self.n_iter_ if resume else 0
        device = self.device_ if resume else choose_device(self.device)
        steps = range(first, first + self._n_steps(plan))
        training, validation = make_sources(self, tasks, plan, seed, device, steps)
        if resume:
            net = copy_net(self.net_, self.callbacks)
        else:
            with own_random_state(seed, device):
                net = make_net(self, probe._row_shape, plan, device)
                if self.pretrain_iter and pretrain(self, net, training, plan.pooled_targets):
                    training.steps = range(0)  # Ctrl-C: no further
        meta_train(net, training, validation, seed + first)
        net.module_.eval()
        self._keep(probe, net, plan, seed, tasks)
        return self

    def adapt(self, X, y):
        """Adapt to one task by its support set, always from the meta-trained state.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_support, ...)
        y : array of shape (n_support,)

        Returns
        -------
        self
        """
        self._check_meta_trained()
        check_params(self)
        self._remember(self._adapt(*check_rows(self, X, y)))
        return self

    def predict_tasks(self, supports, X_queries):
        """Adapt to many tasks and predict them in batched calls; the adapted state stays as it is.

        Parameters
        ----------
        supports : list of tuples (X_support, y_support)
        X_queries : list of {array, sparse matrix, DataFrame} of shape (n_query, ...)

        Returns
        -------
        list of arrays of shape (n_query,)
        """
        for name, value in (("supports", supports), ("X_queries", X_queries)):
            if not hasattr(value, "__len__"):
                raise ValueError(f"{name} must be a list with an entry for each task. Got {value!r} instead.")
        for i, support in enumerate(supports):
            if not isinstance(support, tuple) or len(support) != 2:
                got = f"{len(support)} parts" if isinstance(support, tuple) else type(support).__name__
                raise ValueError(
                    f"supports must be a list of tuples (X_support, y_support); got {got} for task {i}."
                )
        if len(supports) != len(X_queries):
            raise ValueError(
                "supports and X_queries must have one entry for each task; "
                f"got {len(supports)} and {len(X_queries)}."
            )
        return self._predict_named([f"task {i}" for i in range(len(supports))], supports, X_queries)

    def score(self, X, y=None, sample_weight=None, *, groups=None):
        """Mean score of tasks after adapting to each one's support set, or of rows of the adapted task.

        Parameters
        ----------
        X, y, groups : as in ``fit``
            A task without a query set of its own is split: ``n_shot`` rows of each class are its
            support set, the rest is scored. The split is the same at every call.
        sample_weight : array of shape (n_rows,), default=None
            Weights of flat rows; not for tasks.

        Returns
        -------
        float
        """
        if groups is None and not is_task_list(X):
            self._check_adapted()
            if y is None:
                raise ValueError("y is None, but X has rows, whose y is needed to score them.")
            return self._score_rows(X, y, sample_weight)
        self._check_meta_trained()
        check_params(self)
        if sample_weight is not None:
            raise ValueError(
                f"sample_weight must be None when tasks are scored; got {describe(sample_weight)}."
            )
        tasks = read_tasks(self, X, y, groups, reset=False)
        episodes = self._split_for_score(tasks)
        for name, (_, query) in zip(tasks.names, episodes, strict=True):
            if len(query) < self._least_to_score:
                raise ValueError(
                    f"{name} has {len(query)} rows left to score beside its support set; "
                    f"{self._least_to_score} or more are needed."
                )
        supports_and_queries = (
            (self._support(tasks.X[s], tasks.y[s], f"{name}: "), tasks.X[q])
            for name, (s, q) in zip(tasks.names, episodes, strict=True)
        )
        pairs = zip(episodes, self._predict_tasks(supports_and_queries), strict=True)
        return float(np.mean([self._metric(tasks.y[q], p) for (_, q), p in pairs]))

    def __sklearn_is_fitted__(self):
        # Not "adapted": then a pipeline would not get as far as the message that says to call adapt.
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())  # what it returns may be the estimator's own
        if "adapted_params_" in state:  # the net moves itself between devices, these we move
            state["adapted_params_"] = {name: p.cpu() for name, p in self.adapted_params_.items()}
        return state

    @property
    def meta_params_(self):
        """What all tasks start from: dict of parameter name to tensor."""
        self._check_meta_trained()
        return {name: p.detach().clone() for name, p in self.net_.module_.named_parameters()}

    @property
    def device_(self):
        """The torch.device of the meta-parameters."""
        self._check_meta_trained()
        return self.net_.module_.log_inner_lr.device

    def _check_meta_trained(self):
        if not hasattr(self, "net_"):
            raise NotFittedError(
                f"This {type(self).__name__} is not meta-trained yet. Call fit with tasks before adapt."
            )

    def _check_adapted(self):
        self._check_meta_trained()
        if not hasattr(self, "adapted_params_"):
            raise NotFittedError(
                f"This {type(self).__name__} is meta-trained on {self.n_tasks_} tasks but not adapted to one "
                "yet. Call adapt(X_support, y_support) before predict."
            )

    def _check_unchanged(self):
        for name, value in self.get_params(deep=False).items():
            before = self._fitted_params.get(name)
            if name not in MAY_CHANGE and not is_same(value, before):
                raise ValueError(
                    f"With warm_start, {name} must stay as it was, {before!r}; got {value!r}. "
                    f"Only {', '.join(MAY_CHANGE)} may change."
                )

    def _draw_seed(self):
        # Without a random_state, fresh entropy rather than the global generator, which stays untouched.
        if self.random_state is None:
            return secrets.randbelow(2**31)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _n_steps(self, plan):
        if self.max_iter != "auto":
            return self.max_iter
        return STEPS_FOR_ONE_TASK if plan.one_task else STEPS_FOR_TASKS

    def _keep(self, probe, net, plan, seed, tasks):
        """Take what a fit learned, and forget what was adapted before it."""
        for name in ("adapted_params_", "_adapted_to", "classes_", "feature_names_in_"):
            vars(self).pop(name, None)
        self.n_features_in_, self._row_shape = probe.n_features_in_, probe._row_shape
        if hasattr(probe, "feature_names_in_"):
            self.feature_names_in_ = probe.feature_names_in_
        self.net_, self._seed = net, seed
        self._keep_plan(plan, tasks)
        self._fitted_params = self.get_params(deep=False)
        self.n_tasks_ = tasks.n_tasks
        self.history_ = net.history
        losses = [[b["train_loss"] for b in row["batches"] if "train_loss" in b] for row in net.history]
        self.loss_curve_ = [loss for epoch in losses for loss in epoch]
        self.n_iter_ = len(self.loss_curve_)
        self.validation_scores_ = [row["valid_score"] for row in net.history if "valid_score" in row]
        self.n_skipped_ = dict(net.callbacks_)["skip_non_finite"].n_skipped_
        if tasks.flat:
            self._adapt(tasks.X, tasks.y)

    def _adapt(self, X, y):
        support = self._support(X, y)
        self.adapted_params_ = adapt_net(self.net_, support, self._n_adapt_steps())
        self._set_task(support.decoder)
        return support

    def _remember(self, support):
        """A chance to keep what ``adapt`` adapted to."""

    def _support(self, X, y, where=""):
        return Support(X, *self._encode_support(y, where))

    def _n_adapt_steps(self):
        return self.inner_steps if self.adapt_steps is None else self.adapt_steps

    def _outputs(self, X):
        """Logits or scaled targets of the adapted task's rows, an array of shape (n_rows, n_outputs)."""
        self._check_adapted()
        return outputs_of_rows(self.net_, self.adapted_params_, check_rows(self, X, empty=True))

    def _predict_named(self, names, supports, X_queries):
        """Predictions for the query rows of tasks, which errors call by their ``names``."""
        self._check_meta_trained()
        check_params(self)
        checked = []
        for name, (X, y), X_query in zip(names, supports, X_queries, strict=True):
            where = f"{name}: "
            support = self._support(*check_rows(self, X, y, where=where), where)
            checked.append((support, check_rows(self, X_query, where=where, empty=True)))
        return list(self._predict_tasks(checked))

    def _predict_tasks(self, tasks):
        """Predictions for each of ``tasks``, pairs of a ``Support`` and checked query rows."""
        answers = outputs_of_tasks(self.net_, tasks, self._n_adapt_steps())
        return (self._decide(outputs, decoder) for outputs, decoder in answers)

    def _check_combination(self):
        if self.meta_gradient == "reptile" and self.adapt_params != "all":
            raise ValueError(
                "meta_gradient='reptile' trains only what the inner loop changes, so adapt_params must be "
                f"'all'. Got {self.adapt_params!r} instead."
            )

    def _make_meta_model(self):
        return None
