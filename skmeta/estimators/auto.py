"""What "auto" means in a fit: with a head that the inner loop adapts, and with the posterior one."""

import numpy as np

from skmeta.estimators.params import is_same

# Steps are for many tasks and for one alone, which has nothing to share with others.
PLAIN = {"n_shot": 5, "outer_lr": 2e-3, "average": 0.0, "early_stopping": False, "validation_fraction": 0.1}
PLAIN_STEPS = 600, 20
POSTERIOR = {"outer_lr": 1e-2, "average": 0.98, "validation_fraction": 0.2}
POSTERIOR_STEPS = 1000, 0
POSTERIOR_SHOTS = {"natural": (1, 30), "stratified": (1, 5)}
# Tasks, or times as many classes as an episode has, of which early_stopping="auto" holds some out.
ENOUGH_TO_HOLD_OUT = 10


def chosen_shots(n_shot, head, natural, own_classes):
    """The ``n_shot`` to train with."""
    if n_shot != "auto":
        return n_shot
    if head != "posterior":
        return PLAIN["n_shot"]
    least, most = POSTERIOR_SHOTS["natural" if natural else "stratified"]
    return (2, most) if natural and own_classes else (least, most)


def chosen_values(plan, tasks):
    """What each parameter that may be "auto" then is: dict of str to value."""
    values, steps = PLAIN, PLAIN_STEPS
    if plan.head == "posterior":
        values = POSTERIOR | {"early_stopping": _can_hold_out(plan, tasks)}
        steps = POSTERIOR_STEPS
    return values | {"n_shot": plan.n_shot, "max_iter": steps[plan.one_task]}


def left_open(estimator, values):
    """Those of the ``values`` whose parameter is "auto"."""
    return {name: value for name, value in values.items() if is_same(getattr(estimator, name), "auto")}


def _can_hold_out(plan, tasks):
    n_tasks = len(np.unique(tasks.task[plan.rows]))
    if n_tasks > 1:
        return n_tasks >= ENOUGH_TO_HOLD_OUT
    return plan.n_way is not None and len(np.unique(plan.codes)) >= ENOUGH_TO_HOLD_OUT * plan.n_way
