"""The unmodified skorch net that trains a ``MetaLearner``, and its callbacks."""

import warnings

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, PassthroughScoring
from skorch.helper import predefined_split
from skorch.utils import noop
from tqdm.auto import tqdm

from skmeta.engine.batches import STEPS_PER_EPOCH, MetaBatches, SameMetaBatches

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class SkipNonFinite(Callback):
    """Drops an outer step whose gradient is not finite, and stops a run that mostly drops."""

    def initialize(self):
        self.n_skipped_ = 0
        return self

    def on_train_begin(self, net, **kwargs):
        self.n_before = len(net.history), self.n_skipped_

    def on_grad_computed(self, net, named_parameters, **kwargs):
        learned = [p for _, p in named_parameters if p.grad is not None]
        if torch.nn.utils.clip_grad_norm_(learned, float("inf")).isfinite():
            return
        for p in learned:
            p.grad = None
        self.n_skipped_ += 1
        if self.n_skipped_ == 1:
            warnings.warn("A meta-step was not finite and was skipped; n_skipped_ counts them.", stacklevel=2)

    def on_epoch_end(self, net, **kwargs):
        epochs, skipped = self.n_before
        n_steps = sum(row["train_batch_count"] for row in net.history[epochs:])
        n_skipped = self.n_skipped_ - skipped
        if 2 * n_skipped > n_steps:
            raise FloatingPointError(
                f"{n_skipped} of {n_steps} meta-steps were not finite: lower inner_lr or outer_lr, "
                "or scale the features."
            )


class ValidationScore(Callback):
    """Records the mean score of the validation episodes, ``score(outputs, target)`` a task."""

    def __init__(self, score):
        self.score = score

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        if not training:
            _, target = batch
            scores = torch.vmap(self.score)(y_pred["outputs"], target["query_y"], target["query_weight"])
            net.history.record_batch("valid_score", scores.mean().item())


class StepProgress(Callback):
    """One progress bar over all outer steps."""

    def on_train_begin(self, net, X=None, **kwargs):
        self.bar_ = tqdm(total=len(X.steps), unit="step", desc="meta-training", mininterval=0.5)

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **kwargs):
        self.bar_.set_postfix(loss=f"{net.history[-1, 'train_loss']:.3f}")

    def on_train_end(self, net, **kwargs):
        self.bar_.close()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "bar_"}


def early_stopping(score, patience, tol):
    """Callbacks that stop ``patience`` epochs after the best validation score, and keep that state."""
    stop = EarlyStopping(
        "valid_score",
        patience=patience,
        threshold=tol,
        threshold_mode="abs",
        lower_is_better=False,
        load_best=True,
        sink=noop,
    )
    return [
        ("score_tasks", ValidationScore(score)),
        ("valid_score", PassthroughScoring("valid_score", lower_is_better=False)),
        ("early_stopping", stop),
    ]


def make_net(
    learner, objective, *, optimizer, outer_lr, callbacks, device, meta_batch_size, verbose, **kwargs
):
    """The skorch net that trains ``learner``; ``kwargs`` take skorch's spellings."""
    return NeuralNet(
        learner,
        criterion=objective,
        optimizer=OPTIMIZERS.get(optimizer, optimizer),
        lr=outer_lr,
        batch_size=meta_batch_size,
        iterator_train=MetaBatches,
        iterator_valid=SameMetaBatches,
        train_split=None,
        callbacks=[("skip_non_finite", SkipNonFinite()), *callbacks],
        device=device,
        verbose=verbose,
        **kwargs,
    ).initialize()


def train(net, source, validation=None):
    """Run the outer steps of ``source``; Ctrl-C ends them early and keeps what was learned."""
    net.set_params(train_split=None if validation is None else predefined_split(validation))
    steps_per_epoch = net.get_params_for("iterator_train").get("steps_per_epoch", STEPS_PER_EPOCH)
    try:
        net.partial_fit(source, y=None, epochs=-(-len(source.steps) // steps_per_epoch))
    finally:
        net.set_params(train_split=None)  # the validation rows need not live as long as the net


def settle(net, batch):
    """Try an outer step on two tasks, and take the next best way where torch cannot take this one.

    An operation without a second derivative needs ``meta_gradient="first_order"``, which is told, since
    results depend on it. One that ``vmap`` cannot batch needs ``strategy="loop"``.
    """
    learner = net.module_
    inputs, target = ({name: t[:2] for name, t in part.items()} for part in batch)
    if learner.meta_gradient == "second_order":
        _settle_order(learner, inputs)
    _settle_strategy(net, inputs, target)
    learner.zero_grad(set_to_none=True)


def _settle_order(learner, inputs):
    # Plain autograd, since torch.func drops the second derivative of some operations silently.
    support = [
        inputs[name][0]
        for name in ("support_x", "support_y", "support_weight", "class_mask")
        if name in inputs
    ]
    start = {name: p.detach().requires_grad_() for name, p in learner.start(*support).items()}
    changing = {name: start[name] for name in learner.adapted}
    loss, _ = learner.support_loss(start, *support)(changing)
    try:
        grads = torch.autograd.grad(loss, list(changing.values()), create_graph=True, allow_unused=True)
        sum(g.square().sum() for g in grads if g is not None).backward()
    except RuntimeError as error:
        if "derivative for" not in str(error) and "once_differentiable" not in str(error):
            raise
        reason = str(error).strip().splitlines()[0].rstrip(".")
        warnings.warn(f"{reason}: falling back to meta_gradient='first_order'.", stacklevel=4)
        learner.meta_gradient = "first_order"


def _settle_strategy(net, inputs, target):
    learner = net.module_
    may_choose = learner.strategy == "auto" and learner.chosen_strategy() == "vmap"
    try:
        with warnings.catch_warnings():
            if may_choose:  # torch warns where vmap would loop itself
                warnings.filterwarnings("error", "There is a performance drop", UserWarning)
            net.criterion_(learner(**inputs), target).backward()
    except (RuntimeError, UserWarning):
        if not may_choose:
            raise
        learner.strategy = "loop"
        net.criterion_(learner(**inputs), target).backward()  # raises what vmap was not to blame for
