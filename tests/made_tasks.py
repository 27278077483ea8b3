"""Small tasks, and settings that train in a blink, for the tests of estimators."""

from contextlib import contextmanager

import numpy as np

from skmeta import TAMLClassifier, TAMLRegressor, TMAMLClassifier, TMAMLRegressor

ESTIMATORS = [TMAMLClassifier, TAMLClassifier]
REGRESSORS = [TMAMLRegressor, TAMLRegressor]
QUICK = {
    "hidden_layer_sizes": (8,),
    "inner_steps": 2,
    "max_iter": 3,
    "meta_batch_size": 4,
    "n_query": 5,
    "random_state": 0,
}
# For those that look at the parameters of a last layer which the inner loop adapts.
PLAIN = QUICK | {"head": "linear"}
# So few steps as these learn of classes, whose features are standardised, by large ones only.
LEARNING = QUICK | {"inner_lr": 0.5}


def make_tasks(n_tasks=8, *, n_rows=24, n_features=3, labels=(0, 1), spread=1.0, seed=0):
    """Tasks ``(X, y)`` of float32 rows around a mean for each class, drawn anew in each task."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        code = rng.permutation(np.arange(n_rows) % len(labels))
        means = 3 * rng.normal(size=(len(labels), n_features))
        X = means[code] + spread * rng.normal(size=(n_rows, n_features))
        tasks.append((X.astype(np.float32), np.array(labels)[code]))
    return tasks


def make_lines(n_tasks=8, *, n_rows=24, n_features=3, noise=0.1, seed=0):
    """Tasks ``(X, y)`` of a regression: a line of its own in each, with targets of both signs."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.uniform(-1, 1, size=(n_rows, n_features))
        y = X @ (2 * rng.normal(size=n_features)) + noise * rng.normal(size=n_rows)
        tasks.append((X.astype(np.float32), y))
    return tasks


def make_curves(
    n_tasks=8, *, n_rows=24, n_features=3, outputs=(), log_scale=0.0, level=1.0, noise=0.1, seed=0
):
    """Tasks ``(X, y)`` of a smooth function of each task's own, ``y`` of shape ``(n_rows, *outputs)``.

    The logarithms of their scales have the standard deviation ``log_scale``.
    """
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
        slope = rng.normal(size=(n_features, *outputs))
        y = (
            X @ slope
            + np.sin(2 * X @ slope)
            + level * rng.normal()
            + noise * rng.normal(size=(n_rows, *outputs))
        )
        tasks.append((X, np.exp(log_scale * rng.normal()) * y))
    return tasks


def make_images(n_tasks=4, *, n_rows=12, labels=("a", "b"), seed=0):
    """Tasks of images of shape (1, 16, 16)."""
    tasks = make_tasks(n_tasks, n_rows=n_rows, n_features=256, labels=labels, seed=seed)
    return [(X.reshape(-1, 1, 16, 16), y) for X, y in tasks]


def split(task, n_support=12):
    """``(X_support, y_support, X_query, y_query)`` of a task."""
    X, y = task
    return X[:n_support], y[:n_support], X[n_support:], y[n_support:]


def flatten(tasks, names=None):
    """``(X, y, groups)`` of tasks, their rows mixed with one another."""
    names = list(range(len(tasks))) if names is None else names
    X, y = np.concatenate([X for X, _ in tasks]), np.concatenate([y for _, y in tasks])
    groups = np.repeat(names, [len(y) for _, y in tasks])
    # A stable mix: rows of one task stay in order, as a list of tasks would hold them.
    order = np.argsort(np.concatenate([np.arange(len(y)) for _, y in tasks]), kind="stable")
    return X[order], y[order], groups[order]


@contextmanager
def episodes_seen_by(clf):
    """Inside, a list grows by ``(X_support, X_query, outputs)`` of each task that the network is asked."""
    seen = []

    def note(module, args, inputs, result):
        for x, kept, query, out in zip(
            inputs["support_x"], inputs["support_weight"], inputs["query_x"], result["outputs"], strict=True
        ):
            seen.append((x[kept > 0].numpy(), query.numpy(), out.numpy()))

    hook = clf.net_.module_.register_forward_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def contents(model):
    """All attributes, and those of the parts, as they are in memory."""
    parts = [model, *(getattr(model, "named_steps", {}).values())]
    parts += [model.best_estimator_] if hasattr(model, "best_estimator_") else []
    return [{name: id(value) for name, value in vars(part).items()} for part in parts]
