"""From an estimator's parameters to the engine: the network, the net around it, the episodes."""

import copy
from fnmatch import fnmatchcase

import numpy as np
import torch

from skmeta import engine
from skmeta.core.losses import OuterObjective
from skmeta.estimators.modules import count_features, make_backbone
from skmeta.estimators.params import SKORCH_PREFIXES
from skmeta.tasks.checks_of_episodes import GivenEpisodes, given_episodes, hold_out, make_sampler
from skmeta.tasks.episodes import Rows

# Episodes to validate on, at least: fewer make early stopping a matter of luck.
VALIDATION_EPISODES = 64


def choose_device(device):
    """``torch.device`` of a name; "auto" is CUDA, then Apple's MPS, then the CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be 'auto' or a torch device of this machine. Got {device!r} instead: {error}"
        ) from error


def copy_net(net, callbacks):
    """A copy to go on training, so that the net survives a failure; the user's callbacks stay themselves."""
    theirs = [c for item in callbacks or [] for c in (item if isinstance(item, tuple) else (item,))]
    return copy.deepcopy(net, {id(callback): callback for callback in theirs})


def make_net(estimator, input_shape, plan, device):
    """The initialised skorch net of an estimator, for rows of ``input_shape``."""
    kwargs = {n: v for n, v in estimator.get_params(deep=False).items() if n.startswith(SKORCH_PREFIXES)}
    of_module = {n: kwargs.pop(n) for n in list(kwargs) if n.startswith("module__")}
    backbone = make_backbone(
        estimator.module,
        input_shape,
        estimator.hidden_layer_sizes,
        {name.removeprefix("module__"): value for name, value in of_module.items()},
        plan.default_module,
    )
    head = plan.make_head(count_features(backbone, input_shape))
    learner = engine.MetaLearner(
        backbone,
        head,
        loss=plan.loss,
        adapted=adapted_names(backbone, estimator.adapt_params),
        meta_model=estimator._make_meta_model(),
        inner_lr=estimator.inner_lr,
        learn_inner_lr=estimator.learn_inner_lr,
        meta_model_lr=getattr(estimator, "meta_model_lr", 0.0),
        inner_steps=estimator.inner_steps,
        adapt_steps=estimator._n_adapt_steps(),
        meta_gradient=estimator.meta_gradient,
        strategy=estimator.strategy,
        keep_initial=estimator.task_regularizer is not None,
        largest_gradient=plan.largest_inner_gradient,
    )
    return engine.make_net(
        learner,
        OuterObjective(plan.loss, estimator.task_regularizer, estimator.regularizer_weight),
        optimizer=estimator.optimizer,
        outer_lr=estimator.outer_lr,
        callbacks=_callbacks(estimator, plan),
        device=device,
        meta_batch_size=estimator.meta_batch_size,
        verbose=max(0, int(estimator.verbose) - 1),
        **kwargs,
    )


def _callbacks(estimator, plan):
    callbacks = engine.clip_gradient(plan.gradient_clip) if plan.gradient_clip else []
    if estimator.average:
        callbacks += engine.average_iterates(estimator.average)
    if estimator.verbose:
        callbacks.append(("step_progress", engine.StepProgress()))
    if estimator.early_stopping:
        callbacks += engine.early_stopping(plan.score, estimator.n_iter_no_change, estimator.tol)
    return callbacks + list(estimator.callbacks or [])


def make_sources(estimator, tasks, plan, seed, device, steps):
    """Where the meta-batches come from: ``EpisodeSource`` to train on, and to validate on or None."""
    training, validation = _samplers(estimator, tasks, plan, seed)
    rows = Rows(tasks.X, device)
    scaling = {"scaler": plan.scaler, "spread": plan.spread}
    source = engine.EpisodeSource(
        rows, plan.targets, training, seed, steps, **scaling, augment=estimator.augment
    )
    if validation is None:
        return source, None
    n_batches = -(-max(VALIDATION_EPISODES, validation.n_tasks) // estimator.meta_batch_size)
    return source, engine.EpisodeSource(rows, plan.targets, validation, seed, range(n_batches), **scaling)


def pretrain(estimator, net, training, targets):
    """Train the backbone on meta-batches with the ``targets`` of all rows; whether Ctrl-C ended it."""
    source = engine.EpisodeSource(
        training.rows,
        targets,
        training.sampler,
        training.seed,
        range(estimator.pretrain_iter),
        augment=estimator.augment,
    )
    return engine.pretrain(net.module_, source, estimator.meta_batch_size)


def _samplers(estimator, tasks, plan, seed):
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(tasks.task), dtype=bool)
    if estimator.early_stopping:
        held_out = hold_out(tasks, plan.codes, estimator.validation_fraction, plan.n_way, rng)
    if tasks.given is not None:
        bounds = tasks.bounds()[:-1]
        every = np.arange(tasks.n_tasks)
        parts = every[~held_out[bounds]], every[held_out[bounds]]
        return [GivenEpisodes(given_episodes(tasks, ids), plan.codes) if len(ids) else None for ids in parts]
    shots = {"n_way": plan.n_way, "n_shot": estimator.n_shot, "n_query": estimator.n_query}
    parts = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return [make_sampler(tasks, plan.codes, rows=rows, **shots) if len(rows) else None for rows in parts]


def adapted_names(backbone, adapt_params):
    """Parameters that the inner loop changes, in order; frozen ones never are."""
    names = [f"backbone.{name}" for name, p in backbone.named_parameters() if p.requires_grad]
    names += ["head.weight", "head.bias"]
    if adapt_params == "all":
        return names
    patterns = ["head.*"] if adapt_params == "head" else adapt_params
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"adapt_params has {pattern!r}, which matches no parameter; there are {names}.")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
