"""Which support row mattered: what a model answers without it."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import is_regressor

from skmeta.estimators.adapted import last_of
from skmeta.estimators.answers import answers, has_own_classes
from skmeta.estimators.few_shot import FewShotEstimator
from skmeta.estimators.meta_trained import MetaTrained
from skmeta.inspection.losses import RowLoss, check_query
from skmeta.model_selection.evaluate import are_regressors
from skmeta.parameter_rules import COUNT, check_value
from skmeta.tasks.scored import Episode, chunks, take

# Parts of a support set, at most, each of which is answered by the rows of the others.
MOST_PARTS = 10


def support_influence(model, X_support, y_support, X_query, y_query=None):
    """How much each support row changes a model's predictions, and whether it does harm.

    Each row is truly left out: the model is adapted to the others, many such support sets at once. So the
    numbers are exact, whatever the head and the inner loop. The rows that do the most harm are the first to
    look at: a slip of the pen, a broken sensor, or a case that is unlike the others.

    Parameters
    ----------
    model : classifier or regressor
        As in ``evaluate``: one of skmeta, meta-trained, or what ends in one, or one of scikit-learn, a clone
        of which is fitted on each support set. It stays as it is.
    X_support : {array, sparse matrix, DataFrame} of shape (n_support, ...)
    y_support : array of shape (n_support,) or (n_support, n_outputs)
    X_query : {array, sparse matrix, DataFrame} of shape (n_query, ...)
        Rows whose predictions are looked at.
    y_query : array of shape (n_query,) or (n_query, n_outputs), default=None
        Their labels, by which harm is told. None tells it by the support rows, of which each of up to ten
        parts is answered by the others; that takes up to ten times as long.

    Returns
    -------
    SupportInfluenceDisplay
        Its ``plot`` draws the harm of each row.

    Raises
    ------
    TypeError
        If ``model`` is neither a regressor nor a classifier with probabilities.
    ValueError
        If the numbers of rows and labels differ, or there are none; if rows differ in shape; if the model
        knows no class of ``y_query``, or is for labels of a task's own and has only one. A model's own errors
        say what else is wrong.

    References
    ----------
    Cook, "Detection of Influential Observation in Linear Regression", Technometrics 19, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TMAMLRegressor
    >>> from skmeta.inspection import support_influence
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(9, 8, 1))
    >>> y = X[..., 0] + rng.normal(size=(9, 1))  # each task has a level of its own
    >>> model = TMAMLRegressor(max_iter=10, random_state=0).fit(list(zip(X, y)))
    >>> y[0, 2] += 30  # a slip of the pen
    >>> int(support_influence(model, X[0], y[0], X[1]).harm.argmax())
    2
    """
    if not are_regressors("support_influence", {"model": model}) and not hasattr(model, "predict_proba"):
        raise TypeError(
            "The 'model' parameter of support_influence must be a regressor, or a classifier with "
            f"predict_proba. Got {model!r} instead."
        )
    loss = RowLoss(model)
    y_support = loss.labels(X_support, y_support, "_support")
    check_query(X_support, X_query, "_support")
    if not _can_be_adapted(model, y_support):
        got = np.unique(y_support).tolist()
        raise ValueError(f"y_support must have 2 classes or more for {type(model).__name__}. Got {got}.")
    every_row = np.arange(len(y_support))
    found, classes = _answers(model, X_support, y_support, _leaving_out(every_row), X_query)
    if y_query is None:
        harm = _harm_to_each_other(model, X_support, y_support, classes, loss)
    else:
        losses = loss.of_rows(found, loss.labels(X_query, y_query), classes).mean(1)
        harm = losses[0] - losses[1:]
    return SupportInfluenceDisplay(found[0] - found[1:], harm, y_support, classes, loss.name)


@dataclass(eq=False, repr=False)
class SupportInfluenceDisplay:
    """How much each support row matters, from ``support_influence``.

    Parameters
    ----------
    change : ndarray of shape (n_support, n_query), (n_support, n_query, n_outputs) or \
(n_support, n_query, n_classes)
        What a row adds to each prediction: the prediction by all rows less the one without it. In units of
        the targets; of a classifier, of the probabilities. NaN where the other rows have fewer than two
        classes and the model cannot be adapted to them.
    harm : ndarray of shape (n_support,)
        What a row adds to the mean loss of the query rows. If their labels are not known, what it adds to the
        mean loss of the support rows, each answered by others: its own loss counts there, so a row that
        the others cannot explain has a large one. NaN where no row can be answered without it.
    labels : ndarray of shape (n_support,) or (n_support, n_outputs)
        Of the support rows.
    classes : ndarray of shape (n_classes,) or None
        Of the columns of ``change``, for a classifier.
    measure : str
        The loss: "log loss" of a classifier, "absolute error" of a regressor or, if it predicts a quantile,
        that one's.

    Attributes
    ----------
    ax_ : matplotlib Axes
        After ``plot``.
    figure_ : matplotlib Figure
        After ``plot``.
    """

    change: np.ndarray
    harm: np.ndarray
    labels: np.ndarray
    classes: np.ndarray | None
    measure: str

    def plot(self, ax=None, *, n_rows=20):
        """Draw a bar for each row, the most harmful first: to the right if it harms, to the left if it helps.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        n_rows : int, default=20
            Of more rows, those that matter most are drawn.

        Returns
        -------
        self
        """
        check_value("plot", "n_rows", n_rows, [COUNT])
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(layout="constrained")
        known = np.flatnonzero(~np.isnan(self.harm))
        drawn = known[np.argsort(-np.abs(self.harm[known]))][:n_rows]
        drawn = drawn[np.argsort(-self.harm[drawn])]
        colors = np.where(self.harm[drawn] > 0, "tab:red", "tab:blue")
        ax.barh(np.arange(len(drawn)), self.harm[drawn], color=colors)
        ax.set_yticks(np.arange(len(drawn)), [f"row {i}, y = {_shown(self.labels[i])}" for i in drawn])
        ax.invert_yaxis()
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(xlabel=f"what the row adds to the {self.measure}\n← it helps      it harms →")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _shown(label):
    if isinstance(label, np.ndarray):
        return np.array2string(label, precision=3)
    return f"{label:.3g}" if isinstance(label, np.floating) else label


def _leaving_out(rows):
    """All of the rows, then those without the first, the second and so on."""
    return [rows, *(np.delete(rows, i) for i in range(len(rows)))]


def _answers(model, X, y, kept, X_query, classes=None):
    """Predictions of the query rows by each of the ``kept`` rows, stacked; probabilities of the ``classes``.

    None takes the classes that are known by the first. NaN where the model cannot be adapted.
    """
    found = {}
    able = [i for i, rows in enumerate(kept) if _can_be_adapted(model, y[rows])]
    episodes = (Episode("support_influence", take(X, kept[i]), y[kept[i]], X_query, None) for i in able)
    said = (answer for chunk in chunks(episodes) for answer in answers(model, chunk))
    for i, answer in zip(able, said, strict=True):
        if is_regressor(model):
            found[i] = answer.predict(X_query)
            continue
        classes = answer.classes_ if classes is None else classes
        found[i] = answer.predict_proba(X_query) @ (answer.classes_[:, None] == classes)
    none = np.full_like(next(iter(found.values())), np.nan)
    return np.stack([found.get(i, none) for i in range(len(kept))]), classes


def _can_be_adapted(model, y):
    """Whether there are enough labels: of two classes, if these are a task's own."""
    if is_regressor(model):
        return len(y) > 0 or isinstance(last_of(model), MetaTrained | FewShotEstimator)
    return len(np.unique(y)) >= (2 if has_own_classes([model]) else 0)


def _harm_to_each_other(model, X, y, classes, loss):
    """Mean loss of the support rows, each answered by others, less that of the support set without each."""
    n = len(y)
    losses = np.full((1 + n, n), np.nan)  # by all but the row's part, and without each row besides
    order = np.arange(n) if classes is None else np.argsort(y, kind="stable")
    n_parts = min(MOST_PARTS, n)
    for part in (order[i::n_parts] for i in range(n_parts)):
        others = np.setdiff1d(order, part)
        if _can_be_adapted(model, y[others]):
            found, _ = _answers(model, X, y, _leaving_out(others), take(X, part), classes)
            of_part = loss.of_rows(found, y[part], classes, "_support")
            losses[:, part] = of_part[0]
            losses[np.ix_(1 + others, part)] = of_part[1:]
    with_it, without = losses[0], losses[1:]
    own = np.eye(n, dtype=bool)
    compared = ~np.isnan(without) & ~own
    return _mean(with_it, compared | (own & ~np.isnan(with_it))) - _mean(without, compared)


def _mean(losses, of):
    """Mean of some losses of each row; NaN where these are none."""
    with np.errstate(invalid="ignore"):
        return np.where(of, losses, 0).sum(1) / of.sum(1)
