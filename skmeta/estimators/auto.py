"""What "auto" means in a fit: with a head that the inner loop adapts, and with the posterior one."""

import numpy as np

from skmeta.estimators.params import is_same

# Ways of the outer gradient that a posterior head can learn by.
THROUGH_STEPS = "second_order", "first_order"
PLAIN = {"inner_steps": 5, "outer_lr": 2e-3, "average": 0.0}
PLAIN |= {"early_stopping": False, "validation_fraction": 0.1}
PLAIN_SHOTS = 5
# For many tasks, and for one alone, which has nothing to share with others.
PLAIN_STEPS = 600, 20
# More inner steps cost time, and were worth little: on development tasks of chicks, milk and WISDM, errors of
# TMAML relative to the best rival's were 1.02, 1.01, 1.03 and .99 (geometric means) with 1, 2, 3 and 5 of
# them; on spruce .93 with 2 and .95 with 5. A fit with 5 takes twice as long as with 2.
POSTERIOR = {"inner_steps": 2, "average": 0.98, "validation_fraction": 0.2}
# The second where nothing tells when to stop, and the start cannot stand alone.
POSTERIOR_STEPS = 1000, 50
# The second where the start does not have the means that are to be learned.
POSTERIOR_LR = 1e-2, 2e-3
POSTERIOR_SHOTS = {"natural": (1, 30), "stratified": (1, 5)}
# Tasks, or times as many classes as an episode has, of which early_stopping="auto" holds some out; the second
# number is of tasks where the start cannot stand alone.
ENOUGH_TO_HOLD_OUT, ENOUGH_CLASSES = (10, 4), 5
# Folds of tasks that choose when to stop, and tasks of which so many are held out that a single one tells.
N_FOLDS, MANY_TASKS = 3, 200
# Features of the default network's input beside which one is trained: a first layer of more, and of each task
# its own, costs minutes, and learned nothing of hashed terms that a new class kept.
MOST_FEATURES = 2000
# Centers of the start's kernel, and the most columns that it is tried with.
N_CENTERS, MOST_IN_KERNEL = 64, 50


def chosen_head(estimator, own_classes):
    """The head: the posterior one, if the network is the default one and learned through the inner loop."""
    if estimator.head != "auto":
        return estimator.head
    through_steps = estimator.meta_gradient in THROUGH_STEPS
    if estimator.module is None and through_steps and estimator.task_regularizer is None:
        return "posterior"
    return "prototype" if own_classes else "linear"


def chosen_shots(n_shot, head, draws, own_classes=False):
    """The ``n_shot`` of each of the ``draws`` to train with: a dict."""
    if n_shot != "auto":
        return dict.fromkeys(draws, n_shot)
    if head != "posterior":
        return dict.fromkeys(draws, PLAIN_SHOTS)
    shots = {draw: POSTERIOR_SHOTS[draw] for draw in draws}
    if own_classes and "natural" in shots:
        shots["natural"] = 2, shots["natural"][1]
    return shots


def chosen_values(estimator, plan, tasks):
    """What each parameter that may be "auto" then is: dict of str to value."""
    if plan.head != "posterior":
        return PLAIN | {"max_iter": PLAIN_STEPS[plan.one_task]}
    holds_out = _can_hold_out(plan, tasks)
    narrow = estimator.module is not None or tasks.X.shape[1] <= MOST_FEATURES
    # What no held-out tasks can tell the worth of is not done, if the start can stand alone, unless by will.
    by_will = not is_same(estimator.early_stopping, "auto")
    learns = by_will or (holds_out and narrow) or not plan.start_suffices
    return POSTERIOR | {
        "early_stopping": holds_out,
        "max_iter": POSTERIOR_STEPS[not (holds_out or by_will)] if learns and not plan.one_task else 0,
        "outer_lr": POSTERIOR_LR[not plan.start_suffices],
    }


def chosen_folds(estimator, plan, tasks, values):
    """Folds of tasks that are answered by what the others taught, to choose when to stop; 0 for none."""
    n_tasks = len(np.unique(tasks.task[plan.rows]))
    open_values = left_open(estimator, values)
    # A training that the user takes part in, or goes on with, is one.
    takes_part = estimator.callbacks or any(name[:11] == "callbacks__" for name in estimator.get_params())
    if plan.head != "posterior" or n_tasks == 1 or estimator.warm_start or takes_part:
        return 0
    if not open_values.get("early_stopping") or open_values.get("max_iter") == 0:
        return 0
    return N_FOLDS if n_tasks < MANY_TASKS else 1


def may_have_kernel(estimator, plan, tasks):
    """Whether folds of tasks try a start with a kernel: of few features, levels of categories included."""
    if estimator.module is not None or len(estimator.hidden_layer_sizes) == 0 or not plan.suits_kernel:
        return False
    n_levels = sum(len(codes) for codes in estimator._categories.levels.values())
    return tasks.X.shape[1] + n_levels <= MOST_IN_KERNEL


def left_open(estimator, values):
    """Those of the ``values`` whose parameter is "auto"."""
    return {name: value for name, value in values.items() if is_same(getattr(estimator, name), "auto")}


def _can_hold_out(plan, tasks):
    n_tasks = len(np.unique(tasks.task[plan.rows]))
    if n_tasks > 1:
        return n_tasks >= ENOUGH_TO_HOLD_OUT[not plan.start_suffices]
    return plan.n_way is not None and len(np.unique(plan.codes)) >= ENOUGH_CLASSES * plan.n_way
