"""The unmodified skorch net that trains a ``MetaLearner``, and its callbacks."""

import copy
import warnings
import zlib

import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)
from skorch.utils import noop
from tqdm.auto import tqdm

from skmeta.engine.batches import MetaBatches, SameMetaBatches
from skmeta.engine.held_out import is_surely_better
from skmeta.tasks.batch import mapped

# Optimizers by name, each in one kernel where there is one.
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
FUSED = "cpu", "cuda"


class SkipNonFinite(Callback):
    """Drops an outer step whose gradient is not finite, and stops a run that mostly drops."""

    def initialize(self):
        self.n_skipped_ = 0
        return self

    def on_train_begin(self, net, **kwargs):
        self.n_before = len(net.history), self.n_skipped_
        self.learned = list(net.module_.parameters())  # once: small networks learn faster than they list

    def on_grad_computed(self, net, **kwargs):
        grads = [p.grad for p in self.learned if p.grad is not None]
        if not grads or torch.cat([g.flatten() for g in grads]).sum().isfinite():
            return
        for p in self.learned:
            p.grad = None
        self.n_skipped_ += 1
        if self.n_skipped_ == 1:
            warnings.warn("A meta-step was not finite and was skipped; n_skipped_ counts them.", stacklevel=2)

    def on_train_end(self, net, **kwargs):
        del self.learned  # a copy of the net has parameters of its own

    def on_epoch_end(self, net, **kwargs):
        epochs, skipped = self.n_before
        n_steps = sum(row["train_batch_count"] for row in net.history[epochs:])
        n_skipped = self.n_skipped_ - skipped
        if 2 * n_skipped > n_steps:
            raise FloatingPointError(
                f"{n_skipped} of {n_steps} meta-steps were not finite: lower inner_lr or outer_lr, "
                "or scale the features."
            )


class ResumeSchedules(Callback):
    """Lets schedules of the learning rate go on where the last run left them.

    skorch makes a new scheduler for each run, which counts its epochs even if it steps at every batch,
    and takes its first step, once more, as it is made. Stands before the schedulers.
    """

    def initialize(self):
        self.states_ = {}
        return self

    def on_train_begin(self, net, **kwargs):
        self.groups_ = [{n: v for n, v in g.items() if n != "params"} for g in net.optimizer_.param_groups]

    def on_epoch_begin(self, net, **kwargs):
        for name, state in self.states_.items():
            dict(net.callbacks_)[name].lr_scheduler_.load_state_dict(state)
        if self.states_:
            for group, before in zip(net.optimizer_.param_groups, self.groups_, strict=True):
                group.update(before)
        self.states_ = {}

    def on_train_end(self, net, **kwargs):
        schedulers = [(name, c.lr_scheduler_) for name, c in net.callbacks_ if isinstance(c, LRScheduler)]
        self.states_ = {name: copy.deepcopy(scheduler.state_dict()) for name, scheduler in schedulers}


class OpenFeatures(Callback):
    """Lets the features that the start of a posterior head leaves out get weights, before the first step."""

    def on_train_begin(self, net, **kwargs):
        self.has_begun_ = False

    def on_epoch_begin(self, net, **kwargs):
        if not self.has_begun_:
            net.module_.head.open()
            self.has_begun_ = True


class ValidationScore(Callback):
    """Records the mean score of the validation episodes: ``score(outcome, target)``, of each task."""

    def __init__(self, score):
        self.score = score

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        if not training:
            net.history.record_batch("valid_score", self.score(y_pred, batch[1]).mean().item())


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


class KeepBest(EarlyStopping):
    """Early stopping that may keep the state before the first step, whose epoch is 0.

    That one is only left for one that ``is_surely_better``. In each further run it goes on from the best
    score and state of those before. Scores of other episodes cannot be compared, so where they have changed
    it starts anew.
    """

    remembered = "dynamic_threshold_", "best_model_weights_", "best_epoch_"

    def __init__(
        self,
        monitor="valid_score",
        patience=5,
        threshold=1e-4,
        threshold_mode="abs",
        lower_is_better=False,
        sink=noop,
        load_best=True,
        score=None,
    ):
        super().__init__(monitor, patience, threshold, threshold_mode, lower_is_better, sink, load_best)
        self.score = score

    def initialize(self):
        self.best_, self.episodes_, self.of_start_ = {}, None, None
        return super().initialize()

    def on_train_begin(self, net, **kwargs):
        super().on_train_begin(net, **kwargs)
        vars(self).update(self.best_)

    def on_epoch_begin(self, net, dataset_valid=None, **kwargs):
        self._look_anew()
        if self.score is None or self.best_ or self.of_start_ is not None or dataset_valid is None:
            return
        for batch in net.get_iterator(dataset_valid, training=False):
            self._look(batch, net.validation_step(batch)["y_pred"])
        self.of_start_, self.episodes_ = torch.cat(self.scores_), self.seen_
        self.n_units_ = dataset_valid.sampler.n_units
        self.dynamic_threshold_ = self._calc_new_threshold(self.of_start_.mean().item())
        self.best_model_weights_ = copy.deepcopy(net.module_.state_dict())
        self._look_anew()

    def on_batch_end(self, net, batch, training, y_pred=None, **kwargs):
        if not training:
            self._look(batch, y_pred)

    def _look_anew(self):
        self.seen_, self.scores_ = 0, []

    def _look(self, batch, outcome):
        inputs, target = batch
        mapped(self._see, inputs["query_x"])
        mapped(self._see, target["query_y"])
        if self.score is not None:
            self.scores_.append(self.score(outcome, target).detach().cpu())

    def _see(self, tensor):
        self.seen_ = zlib.crc32(tensor.cpu().numpy().tobytes(), self.seen_)

    def on_epoch_end(self, net, **kwargs):
        if self.episodes_ != self.seen_:
            super().on_train_begin(net, **kwargs)
            self.episodes_, self.of_start_ = self.seen_, None
        score = net.history[-1, self.monitor]
        if self._is_score_improved(score) and not self._beats_start():
            self.misses_, self.dynamic_threshold_ = 0, self._calc_new_threshold(score)
        else:
            super().on_epoch_end(net, **kwargs)

    def _beats_start(self):
        if self.of_start_ is None:
            return True
        return is_surely_better(torch.cat(self.scores_) - self.of_start_, self.n_units_)

    def on_train_end(self, net, **kwargs):
        super().on_train_end(net, **kwargs)
        self.best_ = {name: getattr(self, name) for name in self.remembered}
        self.scores_ = []

    def __getstate__(self):
        # The net moves what it knows of between devices, this we move.
        best = dict(self.best_)
        if best.get("best_model_weights_"):
            best["best_model_weights_"] = {n: t.cpu() for n, t in best["best_model_weights_"].items()}
        return super().__getstate__() | {"best_": best}


def clip_gradient(norm):
    """Callbacks that scale an outer gradient down to ``norm``."""
    return [("clip_gradient", GradientNormClipping(norm))]


def cosine_decay(n_steps):
    """Callbacks by which the step size of ``n_steps`` outer steps falls to zero, as half a cosine."""
    return [("decay", LRScheduler("CosineAnnealingLR", T_max=n_steps, step_every="batch"))]


def best_epoch(net):
    """The epoch whose state early stopping kept, 0 for that before the first step; None if it kept none."""
    stops = [callback for _, callback in net.callbacks_ if isinstance(callback, KeepBest)]
    return stops[0].best_epoch_ if stops and stops[0].best_.get("best_model_weights_") else None


def open_features():
    """Callbacks that let a network grow beside the start of a posterior head."""
    return [("open_features", OpenFeatures())]


def early_stopping(score, patience, tol, from_start=False):
    """Callbacks that stop ``patience`` epochs after the best validation score, and keep that state.

    ``from_start`` scores the state before the first step too.
    """
    stop = KeepBest(patience=patience, threshold=tol, score=score if from_start else None)
    return [
        ("score_tasks", ValidationScore(score)),
        ("valid_score", PassthroughScoring("valid_score", lower_is_better=False)),
        ("early_stopping", stop),
    ]


def make_net(
    learner, *, optimizer, outer_lr, callbacks, device, meta_batch_size, verbose, n_tasks=1, **kwargs
):
    """The skorch net that trains ``learner``; ``kwargs`` take skorch's spellings."""
    theirs = "optimizer__foreach" in kwargs or "optimizer__differentiable" in kwargs
    if optimizer in OPTIMIZERS and torch.device(device).type in FUSED and not theirs:
        kwargs = {"optimizer__fused": True} | kwargs
    optimizer = OPTIMIZERS.get(optimizer, optimizer)
    groups = _undecayed(learner) if _decays(optimizer, outer_lr, kwargs) else []
    if learner.head.is_posterior and learner.head.of_means:
        groups.append(("head.mean", {"weight_decay": 2 * learner.head.of_means / n_tasks}))
    if groups:
        # A parameter is in the first group that fits, which may be one of the user's.
        groups = [*kwargs.get("optimizer__param_groups", ()), *groups]
        kwargs = kwargs | {"optimizer__param_groups": groups}
    net = NeuralNet(
        learner,
        criterion=learner.objective,
        optimizer=optimizer,
        lr=outer_lr,
        batch_size=meta_batch_size,
        iterator_train=MetaBatches,
        iterator_valid=SameMetaBatches,
        train_split=None,
        callbacks=[
            ("skip_non_finite", SkipNonFinite()),
            ("resume_schedules", ResumeSchedules()),
            *callbacks,
        ],
        use_caching=False,  # skorch would join the targets of meta-batches, which are no arrays
        device=device,
        verbose=verbose,
        **kwargs,
    ).initialize()
    names = [name for name, _ in net.callbacks_]
    for key, value in kwargs.items():
        prefix, name, *_ = key.split("__")
        if prefix == "callbacks" and name not in names and value is not None:
            raise ValueError(f"{key}: there is no callback {name!r}, only {names}.")
    return net


def _decays(optimizer, lr, kwargs):
    """Whether the optimizer draws weights to zero, by itself or because it is asked to."""
    theirs = {name.removeprefix("optimizer__"): v for name, v in kwargs.items() if name[:11] == "optimizer__"}
    theirs = {name: value for name, value in theirs.items() if not name.startswith("param_groups")}
    tried = optimizer([torch.zeros(1, requires_grad=True)], **{"lr": lr} | theirs)
    return bool(tried.defaults.get("weight_decay"))


def _undecayed(learner):
    """Parameter groups of the logarithms, since zero is no modest value of theirs, but a scale of one."""
    names = [name for name, _ in learner.named_parameters() if name.rpartition(".")[2].startswith("log_")]
    return [(name, {"weight_decay": 0.0}) for name in names]
