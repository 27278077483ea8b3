"""From an estimator's parameters to the engine: the network, the net around it, the episodes."""

import copy
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial

import numpy as np
import torch

from skmeta import engine
from skmeta.core import losses
from skmeta.core.losses import OuterObjective
from skmeta.estimators.inference import Network
from skmeta.estimators.modules import count_features, make_backbone
from skmeta.estimators.params import SKORCH_PREFIXES
from skmeta.tasks import limits
from skmeta.tasks.batch import Rows, make_batch
from skmeta.tasks.episodes import BothDraws, evenly, whole_tasks
from skmeta.tasks.preparation import Preparation, check_cast, standardizing
from skmeta.tasks.split import hold_out, make_sampler

# Episodes to validate on, at least: fewer make early stopping a matter of luck. The second number is with a
# posterior head, which may keep its start.
VALIDATION_EPISODES = 64, 256
# Support rows of what is scored, and query rows of what is validated on, of each label that is drawn by. They
# do not depend on how a candidate of a search is trained.
SCORED_SHOTS = 5
VALIDATION_QUERIES = 15
# Tasks and rows of each that the start of a posterior head is fitted to, at most; else the draws of a task's
# episodes, without and with a kernel, and how many of them all, at least: with a kernel, an episode takes ten
# times as long. A start without means has three numbers.
TASKS_TO_START_FROM, ROWS_TO_START_FROM, ROWS_OF_ONE_TASK = 300, 100, 2000
# Of tasks and rows for the length scales, and of tasks times outputs.
TO_FIT_A_KERNEL, OUTPUTS_TO_FIT_A_KERNEL = (120, 40), 480
ROWS_LEFT_OUT = 500  # of one task, each by the others, again and again
DRAWS_TO_START_FROM, LEAST_TO_START_FROM = (6, 2), 20
EPISODES_WITHOUT_MEANS = 64
# A start from whole tasks, or with means, holds each number several times, in double precision.
COPIES_TO_START_FROM = 4


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
    twin = copy.deepcopy(engine.packed(net, resumable=True), {id(callback): callback for callback in theirs})
    engine.unpack(twin)
    return twin


def make_network(estimator, tasks, rows, plan, device):
    """The ``Network`` of an estimator: its initialised skorch net, for rows like the training ``rows``."""
    of_module, of_net = skorch_params(estimator)
    row_shape = tasks.X.shape[1:]
    if estimator.module is None:
        preparation = standardizing(tasks, rows, categories=estimator._categories.columns)
        row_shape = preparation.shape(row_shape)
    backbone = make_backbone(
        estimator.module,
        row_shape,
        estimator.hidden_layer_sizes,
        of_module,
        keeps_input=plan.head == "posterior",
        n_centers=plan.n_centers,
    )
    dtype = next((p.dtype for p in backbone.parameters() if p.is_floating_point()), torch.get_default_dtype())
    sample = tasks.X[rows[: limits.SAMPLE_ROWS]]
    if estimator.module is None:
        preparation = replace(preparation, dtype=dtype)
    else:
        preparation = _as_passed(backbone, sample, tasks, rows, dtype)
    seen = Rows(sample, torch.device("cpu"), preparation)[:]
    head = plan.make_head(count_features(backbone, seen)).to(dtype)
    meta_model = estimator._make_meta_model()
    learner = engine.MetaLearner(
        backbone,
        head,
        objective=OuterObjective(plan.loss, estimator.task_regularizer, estimator.regularizer_weight),
        adapted=adapted_names(backbone, estimator.adapt_params, head.is_posterior),
        meta_model=None if meta_model is None else meta_model.to(dtype),
        inner_steps=estimator.inner_steps,
        **of_inner_loop(estimator),
        largest_gradient=plan.largest_inner_gradient,
        dtype=dtype,
    )
    of_net["n_tasks"] = len(np.unique(tasks.task[rows]))
    net = make_net(estimator, learner, _callbacks(estimator, plan), device, **of_net)
    return Network(net, preparation, plan.labels)


def skorch_params(estimator):
    """What the estimator has in skorch's spellings: of its module, without the prefix, and of its net."""
    ours = {n: v for n, v in estimator.get_params(deep=False).items() if n.startswith(SKORCH_PREFIXES)}
    of_module = {n: ours.pop(n) for n in list(ours) if n.startswith("module__")}
    return {name.removeprefix("module__"): value for name, value in of_module.items()}, ours


def of_inner_loop(estimator):
    """Arguments of ``engine.MetaLearner`` that are parameters of every estimator."""
    return {
        "inner_lr": estimator.inner_lr,
        "learn_inner_lr": estimator.learn_inner_lr,
        "meta_model_lr": getattr(estimator, "meta_model_lr", 0.0),
        "adapt_steps": estimator.n_adapt_steps(),
        "meta_gradient": estimator.meta_gradient,
    }


def make_net(estimator, learner, callbacks, device, **kwargs):
    """The initialised skorch net of an estimator."""
    return engine.make_net(
        learner,
        optimizer=estimator.optimizer,
        outer_lr=estimator.outer_lr,
        callbacks=callbacks,
        device=device,
        meta_batch_size=estimator.meta_batch_size,
        verbose=max(0, int(estimator.verbose) - 1),
        **kwargs,
    )


def _as_passed(backbone, sample, tasks, rows, dtype):
    """``Preparation`` for the user's module: integers stay so if it takes them, floats get its own type."""
    if sample.dtype.kind in "iu":
        try:
            as_integers = Preparation(torch.int64)
            count_features(backbone, Rows(sample, torch.device("cpu"), as_integers)[:])
            return as_integers
        except ValueError as error:
            try:  # a layer that multiplies wants floats
                count_features(backbone, Rows(sample, torch.device("cpu"), Preparation(dtype))[:])
            except ValueError:
                raise error from None
    check_cast(tasks, rows, dtype)
    return Preparation(dtype)


def _callbacks(estimator, plan):
    first = engine.clip_gradient(plan.gradient_clip) if plan.gradient_clip else []
    from_start = plan.head == "posterior" and plan.start_suffices
    last = engine.open_features() if plan.head == "posterior" else []
    return callbacks_of(estimator, first, _validation_score(plan), last, from_start)


def callbacks_of(estimator, first, score, last=(), from_start=False):
    """Callbacks of an estimator, those between ``first`` and ``last`` by its parameters, and the user's.

    ``score`` is what held-out tasks are looked at by; ``from_start`` also before the first step.
    """
    callbacks = list(first)
    if estimator.average:
        callbacks += engine.average_iterates(estimator.average)
    if estimator.verbose:
        callbacks.append(("step_progress", engine.StepProgress()))
    if estimator.early_stopping:
        callbacks += engine.early_stopping(score, estimator.n_iter_no_change, estimator.tol, from_start)
    return [*callbacks, *last, *(estimator.callbacks or [])]


def _validation_score(plan):
    """What the held-out tasks are looked at by."""
    if plan.head == "posterior":
        return partial(losses.log_likelihood, plan.loss)
    return partial(losses.of_query, plan.measure)


def split_rows(estimator, tasks, plan, seed):
    """Numbers of the rows to train on, and of those to validate on, which may be none."""
    if not estimator.early_stopping or not estimator.max_iter:
        return plan.rows, plan.rows[:0]
    rng = np.random.default_rng(seed)
    held_out = hold_out(tasks, plan.codes, plan.rows, estimator.validation_fraction, plan.n_way, rng)
    return plan.rows[~held_out[plan.rows]], plan.rows[held_out[plan.rows]]


def make_sources(estimator, network, rows, tasks, plan, training_rows, validation_rows, seed, steps):
    """Where the meta-batches come from: ``EpisodeSource`` to train on, and to validate on or None."""
    read = rows, plan.labels, plan.targets, seed
    sampler = _sampler(tasks, plan, training_rows, plan.shots, estimator.n_query)
    augmented = estimator.augment is not None
    training = engine.EpisodeSource(sampler, *read, steps, dtype=network.dtype, augmented=augmented)
    if len(validation_rows) == 0:
        return training, None
    solved = plan.head == "posterior"
    shots = plan.shots if solved else dict.fromkeys(plan.shots, SCORED_SHOTS)
    sampler = _sampler(tasks, plan, validation_rows, shots, VALIDATION_QUERIES)
    n_batches = -(-max(VALIDATION_EPISODES[solved], sampler.n_tasks) // estimator.meta_batch_size)
    return training, engine.EpisodeSource(sampler, *read, range(n_batches), dtype=network.dtype)


def started(estimator, tasks, plan, numbers, seed, device, start=None):
    """The ``Network`` before its first outer step and its ``Rows``, by the row ``numbers`` to train on.

    ``start`` is the learner of one that was started by the same, with rows prepared as they always are.
    """
    with engine.own_random_state(seed, device):
        network = make_network(estimator, tasks, numbers, plan, device)
    rows = network.rows(tasks.X, estimator.augment, plan.weight)
    if plan.head != "posterior":
        return network, rows
    if start is not None:
        network.net.module_.load_state_dict(start.state_dict())
        return network, rows
    return start_in_best_view(estimator, network, rows, tasks, plan, numbers)


def start_in_best_view(estimator, network, rows, tasks, plan, numbers):
    """The ``Network`` and its ``Rows`` with the start of its posterior head, fitted to the row ``numbers``.

    Where labels are a task's own, rows are prepared in the way that suits them.
    """
    views = [(network, rows)]
    if plan.classes_are_own and network.preparation.scale is not None and tasks.X.shape[1] > 1:
        other = network._replace(preparation=replace(network.preparation, unit_length=True))
        views.append((other, other.rows(tasks.X, estimator.augment, plan.weight)))
    head, best = network.net.module_.head, None
    for view in views:
        loss = start(estimator, *view, tasks, plan, numbers)
        if best is None or loss < best[0]:
            best = loss, view, copy.deepcopy(head.state_dict())
    head.load_state_dict(best[2])
    return best[1]


def start(estimator, network, rows, tasks, plan, numbers):
    """Fit the start of a posterior head to the row ``numbers``; its loss, if it is fitted to episodes."""
    seen = _what_to_start_from(estimator, network, rows, tasks, plan, numbers)
    return engine.fit_start(network.net.module_, *seen)


def _some_whole_tasks(network, rows, tasks, plan, numbers, most, n_rows):
    """``Batch`` of so many tasks and rows of each, at most, by the row ``numbers``; how many tasks it has."""
    n_numbers = COPIES_TO_START_FROM * n_rows * (rows.shape.numel() + plan.n_centers)
    _, first = np.unique(tasks.task[numbers], return_index=True)
    of_tasks = np.split(numbers, first[1:])
    kept = [of_tasks[i] for i in evenly(len(of_tasks), _that_fit(min(len(of_tasks), most), n_numbers))]
    read = rows, plan.labels, plan.targets
    return make_batch(whole_tasks(kept, n_rows), *read, dtype=network.dtype, asked=False), len(kept)


def _what_to_start_from(estimator, network, rows, tasks, plan, numbers):
    """What ``engine.fit_start`` takes beside a learner, by the row ``numbers``: tasks, episodes, or both."""
    whole = None
    read, learner = (rows, plan.labels, plan.targets), network.net.module_
    n_numbers = rows.shape.numel()
    sampler = _sampler(tasks, plan, numbers, plan.shots, estimator.n_query)
    if plan.n_centers:
        most, n_rows = TO_FIT_A_KERNEL
        most = max(1, min(most, OUTPUTS_TO_FIT_A_KERNEL // len(learner.head.mean)))
        whole, n_tasks = _some_whole_tasks(network, rows, tasks, plan, numbers, most, n_rows)
    elif engine.starts_from_whole_tasks(learner, sampler.n_tasks):
        most = TASKS_TO_START_FROM, ROWS_TO_START_FROM
        if sampler.n_tasks == 1:
            values = plan.targets.is_floating_point()
            most = 1, _that_fit(ROWS_OF_ONE_TASK if values else ROWS_LEFT_OUT, n_numbers)
        whole, n_tasks = _some_whole_tasks(network, rows, tasks, plan, numbers, *most)
    if engine.starts_from_whole_tasks(learner, sampler.n_tasks):
        return whole, None, n_tasks
    n_draws, least, most = 1, EPISODES_WITHOUT_MEANS, EPISODES_WITHOUT_MEANS
    n_numbers *= sampler.n_rows
    if engine.starts_with_means(learner, sampler.n_tasks):
        n_draws = DRAWS_TO_START_FROM[plan.n_centers > 0]
        least, most = LEAST_TO_START_FROM, TASKS_TO_START_FROM
        n_numbers *= COPIES_TO_START_FROM
    if tasks.given is not None:  # they are drawn alike each time
        n_draws = least = 1
    # Of more than one task, the start has to see more.
    n_tasks = max(min(sampler.n_tasks, 2), _that_fit(min(sampler.n_tasks, most), n_numbers))
    n_times = max(1, min(n_draws * -(-least // n_tasks), limits.NUMBERS_AT_ONCE // n_numbers // n_tasks))
    generator = torch.Generator().manual_seed(0)  # of one task alone, the start is the answer
    # One place further each time, so that each task is drawn in both ways where these take turns.
    chosen = [np.roll(evenly(sampler.n_tasks, n_tasks), i) for i in range(n_times)]
    drawn = sampler.draw(torch.as_tensor(np.concatenate(chosen)), generator)
    return whole, make_batch(drawn, *read, dtype=network.dtype), n_tasks


def _that_fit(n, n_numbers):
    """Of so many tasks, or rows, those that fit into memory; one at least."""
    return max(1, min(n, limits.NUMBERS_AT_ONCE // n_numbers))


def _sampler(tasks, plan, rows, shots, n_query):
    """The sampler of episodes by each kind of draw that ``shots`` has the ``n_shot`` of."""
    of_draws = {"natural": (np.zeros_like(plan.codes), None), "stratified": (plan.codes, plan.n_way)}
    samplers = []
    for draw, n_shot in shots.items():
        labels, n_way = of_draws[draw]
        samplers.append(make_sampler(tasks, labels, rows, n_way=n_way, n_shot=n_shot, n_query=n_query))
    # Given episodes are what they are.
    return samplers[0] if len(samplers) == 1 or tasks.given is not None else BothDraws(*samplers)


def adapted_names(backbone, adapt_params, solved_head=False):
    """Parameters that the inner loop changes, in order: no frozen ones, none of a head that is solved."""
    names = [f"backbone.{name}" for name, p in backbone.named_parameters() if p.requires_grad]
    names += ["head.weight", "head.bias"]
    patterns = adapt_params
    if isinstance(adapt_params, str):
        patterns = {"all": ["*"], "head": ["head.*"]}[adapt_params]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"adapt_params has {pattern!r}, which matches no parameter; there are {names}.")
    names = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return [name for name in names if name.startswith("backbone.") or not solved_head]
