"""What all estimators share: meta-train with ``fit``, ``adapt`` to a task, predict for it."""

from typing import ClassVar

import numpy as np
from sklearn.base import is_regressor

from skmeta.core.inequality import INEQUALITIES
from skmeta.engine import (
    best_epoch,
    can_resume,
    meta_train,
)
from skmeta.estimators.auto import N_CENTERS, THROUGH_STEPS, chosen_folds, chosen_values, left_open
from skmeta.estimators.defaults import HasParameters
from skmeta.estimators.folds import choose_by_folds
from skmeta.estimators.inference import (
    Question,
    adapted_params,
    answers_of_rows,
    answers_of_tasks,
)
from skmeta.estimators.meta_trained import MetaTrained, losses_of
from skmeta.estimators.params import check_params, is_same
from skmeta.estimators.training import (
    SCORED_SHOTS,
    choose_device,
    copy_net,
    make_sources,
    split_rows,
    start,
    started,
)
from skmeta.tasks.rows import check_rows, is_task_list, read_tasks
from skmeta.tasks.scored import chunks, draw_scored
from skmeta.tasks.weights import check_weight, without_weightless

# Parameters that a warm start obeys or need not.
MAY_CHANGE = "max_iter", "adapt_steps", "warm_start", "verbose", "random_state"


class MetaEstimator(MetaTrained, HasParameters):
    """Base of the estimators; a subclass plans a fit, encodes labels, reads outputs and scores.

    Attributes
    ----------
    n_features_in_ : int
        Columns of ``X``.
    row_shape_ : tuple of int
        Shape of one row, ``X.shape[1:]``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If ``X`` had names.
    n_iter_ : int
        Outer steps, skipped ones included; 1 if there was only the start of a posterior head to be fitted.
    best_iter_ : int
        The outer step whose state was kept: the last one, or by early stopping the best; 0 is the start of a
        posterior head.
    start_ : {"linear", "kernel"} or None
        What a posterior head starts from: a linear model of the features, or, where folds of tasks were
        answered better so, one that is also smooth in them, by a Matérn kernel. None of other heads.
    calibration_ : float or None
        What deviations are multiplied and logits divided by, so that held-out tasks are answered neither too
        surely nor too timidly; None where there was no choice by folds of tasks: answers are the model's own.
    gain_ : Gain or None
        What training was worth by folds of tasks, in log likelihood of a query row, in a regression of scaled
        targets: ``start`` and ``kept``, their ``difference``, and ``task_interval``, half of its 95 %
        interval over tasks. Other folds chose the state, all of them ``start_``. None without a choice by
        several folds.
    """

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__score: ClassVar = {"groups": True}
    _least_to_score = 1

    def fit(self, X, y=None, *, groups=None, sample_weight=None):
        """Meta-train on tasks.

        Parameters
        ----------
        X : list of tuples, or {array, sparse matrix, DataFrame} of shape (n_rows, ...)
            Tasks, each ``(X_i, y_i)`` or ``(X_i, y_i, sample_weight_i)``, from which episodes are drawn, or
            ``(X_support, y_support, X_query, y_query)``, used as it is; or rows, with ``y``.
        y : array of shape (n_rows,), default=None
            Labels of flat rows; None for a list of tasks.
        groups : array of shape (n_rows,), default=None
            Task of each flat row. Without it, episodes are drawn from all rows, and the estimator is
            adapted to ``(X, y)`` at the end.
        sample_weight : array of shape (n_rows,), default=None
            What each flat row counts, 0 or more: a row of weight two is two rows, one of weight zero is none.
            Rows are drawn whatever their weight; losses, the start and the scale of features and targets are
            weighted.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the input is not allowed, or no task can give an episode.
        FloatingPointError
            If most outer steps were not finite.
        """
        # A copy takes what validation learns, so that bad input leaves the estimator as it was.
        probe = self._checked_copy()
        params = probe.get_params(deep=False)
        resume = probe.warm_start and hasattr(self, "net_")
        if resume:
            probe._check_resumable()
        tasks = read_tasks(probe, X, y, groups, sample_weight, reset=not resume)
        plan = probe._make_plan(tasks)
        if resume and self.start_ == "kernel":
            plan.n_centers = N_CENTERS
        chosen = chosen_values(probe, plan, tasks)
        first = len(self.loss_curve_) if resume else 0
        if first:  # but for the number of steps, what was chosen stays
            chosen = self._was_chosen | {"max_iter": chosen["max_iter"]}
        n_folds = 0 if resume else chosen_folds(probe, plan, tasks, chosen)
        probe.set_params(**left_open(probe, chosen))
        seed = probe._seed if resume else probe._draw_seed()
        device = probe.device_ if resume else choose_device(probe.device)
        choice = choose_by_folds(probe, tasks, plan, n_folds, seed, device) if n_folds else None
        if choice:
            probe.set_params(early_stopping=False, max_iter=choice.n_steps)
            chosen = chosen | {"early_stopping": False}
            if probe.verbose:
                print(choice)
        network = probe._trained(tasks, plan, seed, device, first, resume)
        if choice:
            network.net.module_.head.calibration.fill_(choice.calibration)
        self._fitted_params = params
        self._was_chosen = chosen | {"inner_steps": probe.inner_steps}
        self._keep(probe, network, plan, seed, tasks, choice)
        return self

    def _trained(self, tasks, plan, seed, device, first, resume):
        """The ``Network`` after its outer steps from ``first`` on, or its start if that is what is kept."""
        training_rows, validation_rows = split_rows(self, tasks, plan, seed)
        if resume:
            self._continue_plan(plan, tasks)
        plan.learn(training_rows)
        # A run that made no step yet has nothing to go on from.
        from_start = plan.head == "posterior" and first == 0
        if resume and not from_start:
            network = self._network()._replace(net=copy_net(self.net_, self.callbacks))
            if plan.head == "posterior":
                network.net.module_.head.calibration.fill_(1.0)  # it was that of the state that is left
            rows = network.rows(tasks.X, self.augment, plan.weight)
        else:
            network, rows = started(self, tasks, plan, training_rows, seed, device)
        steps = range(first, first + self.max_iter)
        training, validation = make_sources(
            self, network, rows, tasks, plan, training_rows, validation_rows, seed, steps
        )
        if len(steps):
            meta_train(network.net, training, validation, seed + first)
        if from_start and best_epoch(network.net) == 0 and not self.warm_start:
            # The start it is: of all tasks, then. What goes on must not know those that are held out.
            start(self, network, rows, tasks, plan, plan.rows)
        network.net.module_.eval()
        return network

    def adapt(self, X, y, sample_weight=None):
        """Adapt to one task by its support set, always from the meta-trained state.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_support, ...)
            Without a row, the answers are what all tasks have in common; not for a per-task label space.
        y : array of shape (n_support,)
        sample_weight : array of shape (n_support,), default=None
            What each row counts, as in ``fit``.

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
        self._remember(self._adapt(*self._checked_support(X, y, sample_weight)))
        return self

    def predict_tasks(self, supports, X_queries):
        """Adapt to many tasks and predict them in batched calls; the adapted state stays as it is.

        Parameters
        ----------
        supports : list of tuples (X_support, y_support) or (X_support, y_support, sample_weight)
        X_queries : list of {array, sparse matrix, DataFrame} of shape (n_query, ...)

        Returns
        -------
        list of arrays of shape (n_query,)
        """
        for name, value in (("supports", supports), ("X_queries", X_queries)):
            if not hasattr(value, "__len__"):
                raise ValueError(f"{name} must be a list with an entry for each task. Got {value!r} instead.")
        for i, support in enumerate(supports):
            if not isinstance(support, tuple) or len(support) not in (2, 3):
                got = f"{len(support)} parts" if isinstance(support, tuple) else type(support).__name__
                raise ValueError(
                    "supports must be a list of tuples (X_support, y_support), or with what rows count as a "
                    f"third part; got {got} for task {i}."
                )
        if len(supports) != len(X_queries):
            raise ValueError(
                "supports and X_queries must have one entry for each task; "
                f"got {len(supports)} and {len(X_queries)}."
            )
        names = [f"task {i}" for i in range(len(supports))]
        return [self.decide(*answer) for answer in self.outputs_of_tasks(names, supports, X_queries)]

    def score(self, X, y=None, sample_weight=None, *, groups=None):
        """Mean score of tasks after adapting to each one's support set, or of rows of the adapted task.

        Parameters
        ----------
        X, y, groups : as in ``fit``
            A task without a query set of its own is split: 5 rows, of each class if ``sampling`` is
            stratified, are its support set, fewer where it is small, and the rest is scored. The split is
            the same at every call, whatever ``n_shot``: candidates of a search are compared alike.
        sample_weight : array of shape (n_rows,), default=None
            What each flat row counts, in the score and of ``groups`` also in the support sets; in a list,
            tasks have it as a third part.

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
        episodes = draw_scored(
            X,
            y,
            groups,
            sample_weight,
            regression=is_regressor(self),
            natural=self._is_natural(),
            own_classes=self._own_classes,
            n_shot=SCORED_SHOTS,
            seed=0,
        )
        return float(np.mean([score for chunk in chunks(episodes) for score in self._scores(chunk)]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.module is None
        return tags

    def _check_resumable(self):
        if not can_resume(self.net_):
            raise ValueError(
                f"This {type(self).__name__} cannot go on: it was pickled or deep-copied "
                "with warm_start=False, so without the state of its training. Set warm_start=True before, or "
                "fit anew with warm_start=False."
            )
        for name, value in self.get_params(deep=False).items():
            before = self._fitted_params.get(name)
            if name not in MAY_CHANGE and not is_same(value, before):
                raise ValueError(
                    f"With warm_start, {name} must stay as it was, {before!r}; got {value!r}. "
                    f"Only {', '.join(MAY_CHANGE)} may change."
                )

    def _keep(self, probe, network, plan, seed, tasks, choice):
        """Take what a fit learned, and forget what was adapted before it."""
        self._keep_network(network, tasks.n_tasks)
        vars(self).pop("feature_names_in_", None)
        self.n_features_in_, self.row_shape_ = probe.n_features_in_, probe.row_shape_
        self._categories = probe._categories
        if hasattr(probe, "feature_names_in_"):
            self.feature_names_in_ = probe.feature_names_in_
        self._seed = seed
        self._keep_plan(plan, tasks)
        self.n_iter_ = max(1, len(self.loss_curve_))
        kept = best_epoch(self.net_)
        epochs = self.history_ if kept is None else self.history_[:kept]
        self.best_iter_ = len(losses_of(epochs))
        self.calibration_ = self.gain_ = None
        if choice:
            self.validation_scores_ = choice.scores
            self.calibration_, self.gain_ = choice.calibration, choice.gain
        self.start_ = None
        if plan.head == "posterior":
            self.start_ = "kernel" if plan.n_centers else "linear"
        if tasks.flat:
            self._adapt(tasks.X, tasks.y, tasks.weight)

    def _checked_support(self, X, y, sample_weight=None, where=""):
        """Rows of a support set, its labels and what rows count, without rows of weight zero."""
        X, y = check_rows(self, X, y, where=where, empty=True)
        return without_weightless(check_weight(sample_weight, len(y), where), X, y)

    def _adapt(self, X, y, weight):
        question = self._ask(X, y, weight)
        self.adapted_params_ = adapted_params(self._network(), question, self.n_adapt_steps())
        self._set_task(question.decoder)
        return question

    def _ask(self, X, y, weight, X_query=None, where=""):
        targets, weight, decoder = self._encode_support(y, weight, where)
        return Question(X, targets, decoder, X_query, weight, where)

    def n_adapt_steps(self):
        """How many inner steps ``adapt`` makes."""
        if self.adapt_steps is not None:
            return self.adapt_steps
        return self._was_chosen["inner_steps"] if is_same(self.inner_steps, "auto") else self.inner_steps

    def _outputs(self, X):
        """Logits or scaled targets of the adapted task's rows, an array of shape (n_rows, n_outputs)."""
        return self._answers(X)["outputs"]

    def _means(self, answers):
        """What ``decide`` takes of answers."""
        return answers["outputs"]

    def _answers(self, X, *, with_variance=True):
        """The outputs and, of a posterior's values, their variance: a dict of arrays."""
        self._check_adapted()
        X = check_rows(self, X, empty=True)
        return answers_of_rows(self._network(), self.adapted_params_, X, with_variance=with_variance)

    def outputs_of_tasks(self, names, supports, X_queries):
        """What ``predict_tasks`` decides by: outputs ``(n_query, n_outputs)`` and the decoder of each task.

        Errors call the tasks by their ``names``.
        """
        self._check_meta_trained()
        check_params(self)
        questions = []
        for name, support, X_query in zip(names, supports, X_queries, strict=True):
            where = f"{name}: "
            support = self._checked_support(*support, where=where)
            questions.append(self._ask(*support, check_rows(self, X_query, where=where, empty=True), where))
        answers = answers_of_tasks(self._network(), questions, self.n_adapt_steps())
        return [(self._means(of_task), question.decoder) for question, of_task in answers]

    def _scores(self, episodes):
        """Score of each of the episodes, a list."""
        for episode in episodes:
            if len(episode.y_query) < self._least_to_score:
                raise ValueError(
                    f"{episode.name} has {len(episode.y_query)} rows left to score beside its support set; "
                    f"{self._least_to_score} or more are needed."
                )
        names, supports = [e.name for e in episodes], [e.support for e in episodes]
        answers = self.outputs_of_tasks(names, supports, [e.X_query for e in episodes])
        pairs = zip(episodes, answers, strict=True)
        return [self._metric(e.y_query, self.decide(*answer), e.query_weight) for e, answer in pairs]

    def _check_combination(self):
        if self.task_regularizer in INEQUALITIES and self.meta_batch_size < 2:
            raise ValueError(
                f"task_regularizer={self.task_regularizer!r} compares the losses of tasks in a meta-batch, "
                f"so meta_batch_size must be 2 or more. Got {self.meta_batch_size!r} instead."
            )
        if self.meta_gradient == "reptile" and self.adapt_params != "all":
            raise ValueError(
                "meta_gradient='reptile' trains only what the inner loop changes, so adapt_params must be "
                f"'all'. Got {self.adapt_params!r} instead."
            )

    def _check_head_can_learn(self, head):
        if head == "posterior" and self.meta_gradient not in THROUGH_STEPS:
            raise ValueError(
                "head='posterior' is learned through the inner loop, so meta_gradient must be 'second_order' "
                f"or 'first_order'. Got {self.meta_gradient!r} instead."
            )
