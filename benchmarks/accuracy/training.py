"""Meta-training in parts: the best state on meta-validation is kept, and a stopped training goes on."""

import pickle
import time
from dataclasses import dataclass, field


@dataclass
class State:
    """How far a training is; ``learner`` and ``best`` are pickled estimators."""

    learner: bytes
    best: bytes | None = None
    best_score: float = float("-inf")
    best_steps: int = 0
    minutes: float = 0.0
    steps: int = 0
    looks: list = field(default_factory=list)
    since_best: int = 0

    def is_done(self, training):
        """Whether steps, minutes or patience are used up."""
        in_time = training.minutes is None or self.minutes < training.minutes
        return not (in_time and self.steps < training.steps and self.since_best < training.patience)


def train(learner, tasks, training, look, clock, load_state, save_state):
    """The learner at its best on meta-validation, and the final ``State``.

    Parameters
    ----------
    learner : estimator of skmeta
        Not fitted yet.
    tasks : list of tuples
        Of meta-train.
    training : Training
    look : callable
        ``look(learner)`` is its score on meta-validation tasks.
    clock : Clock
    load_state, save_state : callables
        ``load_state()`` is the state that ``save_state(state)`` kept last, or None.
    """
    state = load_state() or State(pickle.dumps(learner))
    learner = pickle.loads(state.learner).set_params(warm_start=True)
    while not state.is_done(training):
        clock.check()
        start = time.monotonic()
        n_steps = min(training.chunk, training.steps - state.steps)
        learner.set_params(max_iter=n_steps).fit(tasks)
        if learner.n_iter_ < state.steps + n_steps:
            raise KeyboardInterrupt  # on Ctrl-C, skorch ends a fit early and says nothing
        state.minutes += (time.monotonic() - start) / 60
        state.steps = learner.n_iter_
        state.learner = pickle.dumps(learner)
        _look(state, look(learner))
        save_state(state)
    return pickle.loads(state.best), state


def _look(state, score):
    state.looks.append((state.steps, score))
    state.since_best += 1
    if score > state.best_score:
        state.best, state.best_score, state.best_steps = state.learner, score, state.steps
        state.since_best = 0
