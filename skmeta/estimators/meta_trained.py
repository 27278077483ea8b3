"""What every estimator tells once it is meta-trained, and what its copies and pickles hold."""

import copy
import secrets

from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from skmeta.engine import packed, unpack
from skmeta.estimators.inference import Network
from skmeta.estimators.params import check_params


class MetaTrained:
    """Base of what holds a meta-trained net, ``net_``.

    Attributes
    ----------
    meta_params_ : dict of str to Tensor
        What was learned, the step sizes' logarithms included.
    inner_lr_ : dict of str to float
        Step size of each parameter that the inner loop changes, as it was learned.
    adapted_params_ : dict of str to Tensor
        Parameters of the adapted task.
    n_tasks_ : int
        Tasks that were given to ``fit``, those that were left out included.
    n_skipped_ : int
        Outer steps that were not finite, and so not made.
    history_ : skorch History
        What skorch noted of each epoch and each of its steps.
    loss_curve_ : list of float
        Outer objective of each step.
    net_ : skorch NeuralNet
        The net that was trained; its ``module_`` holds what was learned.
    device_ : torch.device
        Where that is.
    """

    _support = "X_support, y_support"  # what adapt takes, in messages

    def __sklearn_is_fitted__(self):
        # Not "adapted": then a pipeline would not get as far as the message that says to call adapt.
        return hasattr(self, "net_")

    def __copy__(self):
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __getstate__(self):
        """What pickles and deep copies hold; a shallow copy shares it all."""
        state = dict(super().__getstate__())  # what it returns may be the estimator's own
        if "net_" in state:
            state["net_"] = packed(self.net_, resumable=getattr(self, "warm_start", False))
        if "adapted_params_" in state:  # the net moves itself between devices, these we move
            state["adapted_params_"] = {name: p.cpu() for name, p in self.adapted_params_.items()}
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "net_"):
            unpack(self.net_)

    @property
    def meta_params_(self):
        """What all tasks start from: dict of parameter name to tensor."""
        self._check_meta_trained()
        return {name: p.detach().clone() for name, p in self.net_.module_.named_parameters()}

    @property
    def inner_lr_(self):
        """Step size of each parameter that the inner loop changes: dict of str to float."""
        self._check_meta_trained()
        learner = self.net_.module_
        return dict(zip(learner.adapted, learner.log_inner_lr.exp().tolist(), strict=True))

    @property
    def loss_curve_(self):
        """Outer objective of each step: list of float."""
        self._check_meta_trained()
        return losses_of(self.history_)

    @property
    def device_(self):
        """The torch.device of the meta-parameters."""
        self._check_meta_trained()
        return self.net_.module_.log_inner_lr.device

    def _checked_copy(self):
        """A copy with Python's own numbers for NumPy's; ValueError for a parameter that is not allowed."""
        return copy.copy(self).set_params(**check_params(self))

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
                f"yet. Call adapt({self._support}) before predict."
            )

    def _network(self):
        return Network(self.net_, self._preparation, self._labels)

    def _keep_network(self, network, n_tasks):
        """Take a net that was trained and what it tells, and forget what was adapted before it."""
        for name in ("adapted_params_", "_adapted_to", "classes_"):
            vars(self).pop(name, None)
        self.net_, self._preparation, self._labels = network
        self.n_tasks_, self.history_ = n_tasks, self.net_.history
        self.validation_scores_ = [row["valid_score"] for row in self.history_ if "valid_score" in row]
        self.n_skipped_ = dict(self.net_.callbacks_)["skip_non_finite"].n_skipped_

    def _remember(self, question):
        """A chance to keep what ``adapt`` adapted to."""

    def _make_meta_model(self):
        return None

    def _draw_seed(self):
        # Without a random_state, fresh entropy rather than the global generator, which stays untouched.
        if self.random_state is None:
            return secrets.randbelow(2**31)
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def losses_of(epochs):
    """The outer objective of each step of those epochs of a history."""
    return [row["train_loss"] for epoch in epochs for row in epoch["batches"] if "train_loss" in row]
