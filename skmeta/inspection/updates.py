"""What an adaptation did: how far each step moved each layer, and what that did to the predictions."""

import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.utils.validation import check_is_fitted

from skmeta.estimators.answers import has_own_classes
from skmeta.estimators.base import MetaEstimator
from skmeta.estimators.inference import OF_VARIANCE
from skmeta.tasks.scored import take

# Parts of the straight way from the parameters before adaptation to those after.
N_PARTS = 16
LEAST = 1e-6  # of a probability, so that its logarithm is finite


@dataclass(eq=False, repr=False)
class UpdatesDisplay:
    """What each step of an adaptation moved, and what that was worth.

    Parameters
    ----------
    layers : list of str
        Names of the layers that a task has of its own.
    steps : list of str
        What was done: ``"solve"``, from the prior's last layer to the posterior of the support set, if there
        is one; then the inner steps, after each of which such a layer is solved anew.
    moves : ndarray of shape (n_steps, n_layers)
        Euclidean distance that a step moved the parameters of a layer.
    predicted : ndarray of shape (n_steps, n_layers) or None
        Length of the part of a step that TAML's meta-model predicted; the rest is the gradient's.
    directions : dict of str to ndarray of shape (n_steps, n_layers), or None
        How much of each of its directions the default meta-model took, the mean over a layer's tensors.
    losses : ndarray of shape (n_steps + 1,)
        Mean loss of the support rows before the first step and after each.
    query_losses : ndarray of shape (n_steps + 1,) or None
        The same of the query rows, if their labels are known.
    measure : str
        The loss: "log loss" of a classifier, "absolute error" of a regressor.
    shares : ndarray of shape (n_layers,)
        Share of each layer's move in the change of the outputs for the query rows, signed, of sum 1; NaN if
        nothing changed.

    Attributes
    ----------
    ax_ : ndarray of three matplotlib Axes
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
        ((2, 3), (3,))
        """
        if not isinstance(model, MetaEstimator):
            raise TypeError(
                "The 'model' parameter of UpdatesDisplay.from_estimator must be a classifier or a regressor "
                f"of skmeta, such as the last step of a pipeline. Got {model!r} instead."
            )
        check_is_fitted(model)
        states, steps = _states(model, X, y)
        X_query = X if X_query is None else X_query
        layers = list(dict.fromkeys(map(_layer, _of_means(states[0]))))
        predicted = directions = None
        if updates := getattr(states[-1], "updates_", None):
            predicted, directions = _of_meta_model(updates, layers, len(steps))
        return cls(
            layers,
            steps,
            np.array([_lengths(one, other, layers) for one, other in pairwise(states)]),
            predicted,
            directions,
            np.array([_loss(state, X, y) for state in states]),
            None if y_query is None else np.array([_loss(state, X_query, y_query) for state in states]),
            "absolute error" if is_regressor(model) else "log loss",
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
            of_moves.bar(shift, self.moves[:, i], width, label=layer)
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

    Tasks that share their labels have a last layer before there is any row, unless inner steps alone move it.
    """
    n_steps = model.n_adapt_steps()
    states = [copy.copy(model).set_params(adapt_steps=k).adapt(X, y) for k in range(n_steps + 1)]
    names = [f"step {k}" for k in range(1, n_steps + 1)]
    if has_own_classes([model]):
        return states, names
    before = copy.copy(model).adapt(take(X, np.arange(0)), np.asarray(y)[:0])
    if not any(_lengths(before, states[0], ["head"])):
        return states, names
    return [before, *states], ["solve", *names]


def _of_means(state):
    """A task's own parameters, by name, without what only a variance takes."""
    return {name: p for name, p in state.adapted_params_.items() if name not in OF_VARIANCE}


def _layer(name):
    """The name of the layer that a parameter is of."""
    return name.rpartition(".")[0]


def _lengths(one, other, layers):
    """Distances between the parameters of two states, of each layer."""
    start, end = _of_means(one), _of_means(other)
    moves = {layer: [end[name] - start[name] for name in end if _layer(name) == layer] for layer in layers}
    return [torch.cat([move.flatten() for move in of_layer]).norm().item() for of_layer in moves.values()]


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


def _loss(state, X, y):
    """Mean log loss or absolute error of rows."""
    if is_regressor(state):
        return np.abs(state.predict(X) - np.asarray(y)).mean()
    of_class = (np.asarray(y)[:, None] == state.classes_) * state.predict_proba(X)
    return -np.log(of_class.sum(1).clip(LEAST)).mean()


def _outputs(state, X):
    """Predictions, or logits of mean zero: (n_rows, n_outputs)."""
    if is_regressor(state):
        return state.predict(X).reshape(np.shape(X)[0], -1)
    logits = state.predict_log_proba(X)
    return logits - logits.mean(1, keepdims=True)


def _shares(before, after, layers, X):
    """Share of each layer's move in the change of the outputs, along the straight way between two states."""
    start, end = _of_means(before), _of_means(after)

    def at(place, layer=None, own=None):
        mixed = copy.copy(after)
        mixed.adapted_params_ = {
            name: torch.lerp(start[name], end[name], own if _layer(name) == layer else place) for name in end
        }
        return _outputs(mixed, X)

    added = np.zeros((len(layers), *at(0.0).shape))
    for i in range(N_PARTS):
        first, middle, last = ((i + part) / N_PARTS for part in (0, 0.5, 1))
        for k, layer in enumerate(layers):
            added[k] += at(middle, layer, last) - at(middle, layer, first)
    change = added.sum(0)
    total = np.square(change).sum()
    return (added * change).sum((1, 2)) / total if total > 0 else np.full(len(layers), np.nan)
