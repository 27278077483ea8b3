"""Plain scikit-learn estimators whose own ``fit`` is the adaptation of a meta-trained prior."""

import copy
import warnings

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmeta.estimators.adapted import adapt, last_of
from skmeta.estimators.base import MetaEstimator
from skmeta.tasks.weights import without_weightless


class FewShotEstimator(BaseEstimator):
    """Base of both: holds the prior, and the copy of it that ``fit`` adapted."""

    def __init__(self, prior=None):
        self.prior = prior

    def fit(self, X, y, sample_weight=None):
        """Adapt a copy of the prior to a support set.

        Parameters
        ----------
        X : {array, sparse matrix, DataFrame} of shape (n_support, ...)
        y : array of shape (n_support,)
        sample_weight : array of shape (n_support,), default=None
            What each row counts, as in the ``fit`` of the prior.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``prior`` is None.
        TypeError
            If ``prior`` does not end in a classifier, or regressor, of skmeta.
        NotFittedError
            If ``prior`` is not meta-trained.
        """
        self._check_prior()
        known_y = self._as_the_prior_knows(y)
        model = adapt(self.prior, X, known_y, sample_weight)
        weight = None if sample_weight is None else np.asarray(sample_weight)
        y, known_y, _ = without_weightless(weight, np.asarray(y), np.asarray(known_y))
        self._keep_task(model, y, known_y)
        self.model_ = model
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        return self

    def predict(self, X):
        """Predictions of rows: {array, sparse matrix, DataFrame} of shape (n_query, ...)."""
        check_is_fitted(self)
        return self.model_.predict(X)

    def as_prior_labels(self, episodes):
        """Episodes whose support sets have labels that the prior knows."""
        return episodes

    def narrowed(self, answers, episodes):
        """The prior's answers about the episodes, as this estimator gives them."""
        return answers

    def checked_prior(self):
        """The prior, unfrozen, or the error of a bad one."""
        self._check_prior()
        return _unfrozen(self.prior)

    def __sklearn_clone__(self):
        # A clone of the prior would have lost what it learned, which is what this estimator is for.
        frozen = isinstance(self.prior, FrozenEstimator)
        return type(self)(prior=self.prior if frozen else copy.deepcopy(self.prior))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "model_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        last = last_of(self.prior)
        tags.input_tags.allow_nan = last is None or getattr(last, "module", last) is None
        return tags

    def _check_prior(self):
        name = type(self).__name__
        how = f"Pass a meta-trained {self._kind} of skmeta, or a fitted pipeline or search that ends in one"
        if self.prior is None:
            raise ValueError(f"The 'prior' parameter of {name} must not be None. {how}.")
        last = last_of(self.prior)
        if not isinstance(last, MetaEstimator) or not self._is_kind(last):
            raise TypeError(f"The 'prior' parameter of {name} ends in a {type(last).__name__}. {how}.")
        try:
            check_is_fitted(self.prior)
        except NotFittedError as error:
            raise NotFittedError(
                f"The 'prior' parameter of {name} is not meta-trained yet. {how}."
            ) from error


def _unfrozen(model):
    """The model, or a copy of a pipeline that ends in it, without the wrapper that forbids to adapt it."""
    if isinstance(model, FrozenEstimator):
        return _unfrozen(model.estimator)
    if isinstance(model, Pipeline):
        (name, last), model = model.steps[-1], copy.copy(model)
        model.steps = [*model.steps[:-1], (name, _unfrozen(last))]
    return model


class FewShotClassifier(ClassifierMixin, FewShotEstimator):
    """Plain classifier whose ``fit`` adapts a meta-trained prior to a few rows.

    It goes wherever a classifier goes: cross-validation on 30 rows, calibration, voting, bagging. Its
    ``classes_`` are those of its ``y``, also where the prior's shared label space has more.

    Voting, stacking and bagging number the classes before they call ``fit``. So whole numbers of which the
    prior's shared label space has none are taken for numbers of its classes, in sorted order, from 0; if the
    last of these is missing, with a warning, since the tool may have numbered other classes than these.

    Parameters
    ----------
    prior : estimator, default=None
        A meta-trained classifier of skmeta, or a fitted pipeline or search that ends in one, or
        ``sklearn.frozen.FrozenEstimator`` of these. ``clone`` keeps what it has learned. None, which
        only makes the class constructible without arguments, is an error in ``fit``.

    Attributes
    ----------
    model_ : estimator
        The adapted copy of the prior.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If ``X`` had names.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from skmeta import FewShotClassifier, TMAMLClassifier
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=3, n_test=1, random_state=0)
    >>> prior = TMAMLClassifier(max_iter=20, random_state=0).fit(scanners.train)
    >>> X, y = scanners.test[0]
    >>> cross_val_score(FewShotClassifier(prior), X[:60], y[:60], cv=3).shape
    (3,)
    """

    _kind = "classifier"
    _is_kind = staticmethod(is_classifier)

    def predict(self, X):
        """Classes of rows: {array, sparse matrix, DataFrame} of shape (n_query, ...)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_log_proba(self, X):
        """Logarithms of ``predict_proba``, shape (n_query, n_classes)."""
        check_is_fitted(self)
        return log_softmax(self.model_.predict_log_proba(X)[:, self._columns], axis=1)

    def predict_proba(self, X):
        """Class probabilities of rows, in the order of ``classes_``, shape (n_query, n_classes)."""
        return np.exp(self.predict_log_proba(X))

    def decision_function(self, X):
        """Log-probabilities; with two classes, the second's over the first's, shape (n_query,)."""
        logits = self.predict_log_proba(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def as_prior_labels(self, episodes):
        """Episodes whose support sets have the prior's labels in place of numbers that a tool gave them."""
        return [e._replace(y_support=self._as_the_prior_knows(e.y_support)) for e in episodes]

    def narrowed(self, answers, episodes):
        """The prior's answers, among the classes of each support set alone, by their names there."""
        narrowed = []
        for answer, episode in zip(answers, episodes, strict=True):
            held, known = np.unique(episode.y_support), self._numbered_classes(episode.y_support)
            narrowed.append(answer.among(held if known is None else known[held], names=held))
        return narrowed

    def _as_the_prior_knows(self, y):
        """Labels of the prior, in place of numbers that a tool gave its classes."""
        known = self._numbered_classes(y)
        if known is None:
            return y
        numbers = np.asarray(y)
        if numbers.max() < len(known) - 1:
            taken = known[np.unique(numbers)].tolist()
            warnings.warn(
                f"y has numbers up to {numbers.max()}, the prior the classes {known.tolist()}: they are "
                f"taken for {taken}, but may stand for others. Pass rows of all classes, or a prior with "
                "label_space='per_task'.",
                stacklevel=3,
            )
        return known[numbers]

    def _numbered_classes(self, y):
        """The prior's classes, if ``y`` holds numbers that a tool gave them, else None."""
        known, y = last_of(self.prior)._classes, np.asarray(y)
        if known is None or y.ndim != 1 or y.dtype.kind not in "iu" or len(y) == 0:
            return None
        is_label = set(y.tolist()) & set(known.tolist())
        return None if is_label or y.min() < 0 or y.max() >= len(known) else known

    def _keep_task(self, model, y, known_y):
        self.classes_ = np.unique(np.asarray(y))
        self._columns = np.searchsorted(model.classes_, np.unique(np.asarray(known_y)))


class FewShotRegressor(RegressorMixin, FewShotEstimator):
    """Plain regressor whose ``fit`` adapts a meta-trained prior to a few rows.

    Parameters
    ----------
    prior : estimator, default=None
        As in ``FewShotClassifier``, a regressor.

    Attributes
    ----------
    model_, n_features_in_, feature_names_in_
        As in ``FewShotClassifier``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import FewShotRegressor, TMAMLRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(20, 1))
    >>> prior = TMAMLRegressor(max_iter=20, random_state=0)
    >>> prior = prior.fit([(X, slope * X[:, 0]) for slope in rng.normal(size=9)])
    >>> FewShotRegressor(prior).fit(X[:10], 3 * X[:10, 0]).predict(X[10:]).shape
    (10,)
    """

    _kind = "regressor"
    _is_kind = staticmethod(is_regressor)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _as_the_prior_knows(self, y):
        return y

    def _keep_task(self, model, y, known_y):
        pass
