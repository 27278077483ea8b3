"""What an adaptation did: how far each step moved each layer, and what that did to the predictions."""

import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.utils.validation import check_is_fitted

from skmeta.estimators.adapted import prior_of
from skmeta.estimators.answers import has_own_classes
from skmeta.estimators.base import MetaEstimator
from skmeta.estimators.inference import OF_VARIANCE
from skmeta.inspection.losses import RowLoss, check_query

# What a regressor brings targets to, as if it were a layer.
UNITS = "level and scale"
# Parts of the straight way from the parameters before adaptation to those after.
N_PARTS = 16


@dataclass(eq=False, repr=False)
class UpdatesDisplay:
    """What each step of an adaptation moved, and what that was worth.

    Parameters
    ----------
    layers : list of str
        Names of the layers that a task has of its own; of a regressor also ``"level and scale"``, by which it
        reads a task's targets.
    steps : list of str
        What was done: ``"solve"``, from the prior to the posterior of the support set, if the last layer is
        one, or ``"level"``, from the level of all tasks to that of the support rows; then the inner steps,
        after each of which a posterior is solved anew. Labels of a task's own have no prior to begin with.
    moves : ndarray of shape (n_steps, n_layers)
        Euclidean distance that a step moved the parameters of a layer, those of its mean.
    predicted : ndarray of shape (n_steps, n_layers) or None
        Length of the part of a step that TAML's meta-model predicted; the rest is the gradient's.
    directions : dict of str to ndarray of shape (n_steps, n_layers), or None
        How much of each of its directions the default meta-model took, the mean over a layer's tensors.
    losses : ndarray of shape (n_steps + 1,)
        Mean loss of the support rows before the first step and after each: what ``measure`` says, which may
        be another than the loss that steps go down.
    query_losses : ndarray of shape (n_steps + 1,) or None
        The same of the query rows, if their labels are known.
    measure : str
        "log loss" of a classifier, "absolute error" of a regressor or, if it predicts a quantile, the loss of
        that.
    shares : ndarray of shape (n_layers,)
        Share of each layer's move in the change of the answers for the query rows, predictions or logits,
        signed, of sum 1; NaN if nothing changed. Of the mean's answers: what a posterior's variance does to
        logits and rates does not count.

    Attributes
    ----------
    ax_ : sequence of three matplotlib Axes
        After ``plot``.
    figure_ : matplotlib Figure
        After ``plot``.
    """

    layers: list
    steps: list
    moves: np.ndarray
    predicted: np.ndarray | None
    directions: dict | None
    losses: np.ndarray
    query_losses: np.ndarray | None
    measure: str
    shares: np.ndarray

    @classmethod
    def from_estimator(cls, model, X, y, X_query=None, y_query=None):
        """Adapt a copy of a model by more and more steps, and look at what each changes.

        Shares are taken along the straight way from the parameters before adaptation to those after: on each
        short part of it, every layer in turn is moved alone, and what that does to the outputs is added up.
        So layers that matter only together share what they do.

        Parameters
        ----------
        model : TMAML or TAML classifier or regressor
            Meta-trained. It stays as it is.
        X : {array, sparse matrix, DataFrame} of shape (n_support, ...)
        y : array of shape (n_support,) or (n_support, n_outputs)
        X_query : {array, sparse matrix, DataFrame} of shape (n_query, ...), default=None
            Rows whose outputs are looked at; None takes the support rows.
        y_query : array of shape (n_query,) or (n_query, n_outputs), default=None

        Returns
        -------
        UpdatesDisplay

        Raises
        ------
        TypeError
            If ``model`` is no such estimator.
        NotFittedError
            If it is not meta-trained.
        ValueError
            As ``adapt``.

        References
        ----------
        Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017: attribution along a path.

        Examples
        --------
        >>> import numpy as np
        >>> from skmeta import TMAMLRegressor
        >>> from skmeta.inspection import UpdatesDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(9, 8, 1))
        >>> y = X[..., 0] + rng.normal(size=(9, 1))
        >>> model = TMAMLRegressor(head="linear", inner_steps=2, max_iter=5).fit(list(zip(X, y)))
        >>> display = UpdatesDisplay.from_estimator(model, X[0], y[0])
        >>> display.moves.shape, display.losses.shape
        ((3, 4), (4,))
        """
        if not isinstance(model, MetaEstimator):
            raise TypeError(
                "The 'model' parameter of UpdatesDisplay.from_estimator must be a classifier or a regressor "
                f"of skmeta. Got {model!r} instead. Of a pipeline, pass the last step, and rows as the steps "
                "before transform them."
            )
        check_is_fitted(model)
        loss = RowLoss(model)
        y = loss.labels(X, y, "")
        if X_query is None:
            if y_query is not None:
                raise ValueError("y_query has labels, but X_query is None. Pass both, or neither.")
            X_query = X
        check_query(X, X_query)
        if y_query is not None:
            y_query = loss.labels(X_query, y_query)
        states, steps = _states(model, X, y)
        layers = list(dict.fromkeys(map(_layer, _own(states[0]))))
        predicted = directions = None
        if updates := getattr(states[-1], "updates_", None):
            predicted, directions = _of_meta_model(updates, layers, len(steps))
        moves = [_lengths(one, other, layers) for one, other in pairwise(states)]
        return cls(
            layers,
            steps,
            np.reshape(moves, (len(steps), len(layers))),
            predicted,
            directions,
            _mean_losses(states, X, y, loss, ""),
            None if y_query is None else _mean_losses(states, X_query, y_query, loss),
            loss.name,
            _shares(states[0], states[-1], layers, X_query),
        )

    def plot(self, axes=None):
        """Draw how far each step moved each layer, the losses after each step, and the layers' shares.

        Parameters
        ----------
        axes : sequence of three matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        self
        """
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
        place = np.arange(len(self.steps))
        of_moves, of_losses, of_shares = axes
        width = 0.8 / len(self.layers)
        for i, layer in enumerate(self.layers):
            shift = place + (i - (len(self.layers) - 1) / 2) * width
            of_moves.bar(shift, self.moves[:, i], width, color=f"C{i}", label=layer)
            if self.predicted is not None:
                of_moves.bar(
                    shift,
                    self.predicted[:, i],
                    width,
                    fill=False,
                    hatch="///",
                    label="predicted by g" * (i == 0),
                )
        of_moves.set_xticks(place, self.steps)
        of_moves.set(ylabel="distance moved", title="How far each step moved each layer")
        of_moves.legend(fontsize="small")
        of_losses.plot(np.arange(len(self.losses)), self.losses, marker="o", label="support rows")
        if self.query_losses is not None:
            of_losses.plot(np.arange(len(self.losses)), self.query_losses, marker="o", label="query rows")
        of_losses.set_xticks(np.arange(len(self.losses)), ["before", *self.steps])
        of_losses.set(ylim=(0, None), ylabel=self.measure, title="What that was worth")
        of_losses.legend(fontsize="small")
        colors = [f"C{i}" for i in range(len(self.layers))]
        of_shares.barh(np.arange(len(self.layers)), self.shares, color=colors)
        of_shares.set_yticks(np.arange(len(self.layers)), self.layers)
        of_shares.invert_yaxis()
        of_shares.axvline(0, color="black", linewidth=0.8)
        of_shares.set(xlabel="share", title="Part in the change of predictions")
        self.ax_, self.figure_ = axes, of_moves.figure
        return self


def _states(model, X, y):
    """Adapted copies before the first step and after each, and what the steps are called.

    A prior answers before there is a row, unless labels are a task's own.
    """
    n_steps = model.n_adapt_steps()
    states = [copy.copy(model).set_params(adapt_steps=k).adapt(X, y) for k in range(n_steps + 1)]
    names = [f"step {k}" for k in range(1, n_steps + 1)]
    if has_own_classes([model]):
        return states, names
    before = prior_of(model, X, y)
    if any(_lengths(before, states[0], ["head"])):
        return [before, *states], ["solve", *names]
    if any(_lengths(before, states[0], [UNITS])):
        return [before, *states], ["level", *names]
    return states, names


def _own(state):
    """What a task has of its own, by name: parameters, without those of variances alone, level and scale."""
    own = {name: p.double() for name, p in state.adapted_params_.items() if name not in OF_VARIANCE}
    if is_regressor(state):
        for name, values in zip(("level", "scale"), state._level_and_scale, strict=True):
            own[f"{UNITS}.{name}"] = torch.as_tensor(values, dtype=torch.float64)
    return own


def _with(state, own):
    """A copy of a state that has this of its own."""
    mixed = copy.copy(state)
    mixed.adapted_params_ = {name: p for name, p in own.items() if _layer(name) != UNITS}
    if is_regressor(state):
        mixed._level_and_scale = tuple(own[f"{UNITS}.{name}"].numpy() for name in ("level", "scale"))
    return mixed


def _layer(name):
    """The name of the layer that a parameter is of."""
    return name.rpartition(".")[0]


def _lengths(one, other, layers):
    """Distances between the parameters of two states, of each layer."""
    start, end = _own(one), _own(other)
    moves = {
        layer: [(end[name] - start[name]).flatten() for name in end if _layer(name) == layer]
        for layer in layers
    }
    return [torch.cat(of_layer).norm().item() if of_layer else 0.0 for of_layer in moves.values()]


def _of_meta_model(updates, layers, n_steps):
    """Lengths of the predicted parts of steps, by layer, and means of the directions' weights."""
    of_layer = np.array([[_layer(name) == layer for name in updates["tensors"]] for layer in layers])
    predicted = np.zeros((n_steps, len(layers)))
    n_inner = len(updates["predicted"])
    predicted[n_steps - n_inner :] = np.sqrt(np.square(updates["predicted"]) @ of_layer.T)
    if "weights" not in updates:
        return predicted, None
    n_tensors = of_layer.sum(1).clip(1)
    directions = {}
    for i, name in enumerate(updates["directions"].tolist()):
        directions[name] = np.zeros_like(predicted)
        directions[name][n_steps - n_inner :] = updates["weights"][..., i] @ of_layer.T / n_tensors
    return predicted, directions


def _mean_losses(states, X, y, loss, of="_query"):
    """Of rows by each of the states: (n_states,)."""
    answer = "predict" if loss.of_values else "predict_proba"
    found = np.stack([getattr(state, answer)(X) for state in states])
    return loss.of_rows(found, y, getattr(states[-1], "classes_", None), of).mean(1)


def _outputs(state, X):
    """Predictions, or logits of mean zero: (n_rows, n_outputs)."""
    if is_regressor(state):
        predicted = state.predict(X)
        return predicted.reshape(len(predicted), -1)
    logits = state.predict_log_proba(X)
    return logits - logits.mean(1, keepdims=True)


def _shares(before, after, layers, X):
    """Share of each layer's move in the change of the outputs, along the straight way between two states."""
    start, end = _own(before), _own(after)

    def at(place, layer=None, own=None):
        mixed = {n: torch.lerp(start[n], end[n], own if _layer(n) == layer else place) for n in end}
        return _outputs(_with(after, mixed), X)

    change = at(1.0) - at(0.0)
    added = np.zeros((len(layers), *change.shape))
    for i in range(N_PARTS):
        first, middle, last = ((i + part) / N_PARTS for part in (0, 0.5, 1))
        for k, layer in enumerate(layers):
            added[k] += at(middle, layer, last) - at(middle, layer, first)
    total = np.square(change).sum()
    return (added * change).sum((1, 2)) / total if total > 0 else np.full(len(layers), np.nan)
