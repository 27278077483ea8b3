"""Answers for new tasks: beside a logistic regression for each, and beside the tutorial's loop."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.func import functional_call

from benchmarks.cases import TABULAR
from benchmarks.timing import alternate, mean_block, timed, with_threads

# Of the plain loop's predictions: one row in a thousand may lie on the border of two classes.
LEAST_AGREEMENT = 0.999


def measure(seconds, n_tasks=1000, n_threads=(1, 2)):
    """Seconds of adapting to one task and predicting 100 rows, and of ``n_tasks`` such tasks."""
    case = TABULAR
    tasks = case.tasks(64)
    clf = case.estimator(max_iter=50).fit(tasks)
    supports, queries = new_tasks(case, n_tasks)
    loop = tutorial_model(case, clf, tasks)
    agreement = check_predictions(clf, loop, supports, queries)
    one = {
        "skmeta": mean_block(in_turn(lambda s, q: clf.adapt(*s).predict(q), supports, queries)),
        "LogisticRegression": mean_block(in_turn(regress, supports, queries)),
        "loop": mean_block(in_turn(loop, supports, queries)),
    }
    many = {
        "skmeta": timed(lambda: clf.predict_tasks(supports, queries)),
        "LogisticRegression": timed(lambda: list(map(regress, supports, queries))),
        "loop": timed(lambda: list(map(loop, supports, queries))),
    }
    return {
        "n_tasks": n_tasks,
        "agreement": agreement,
        "one": per_thread(one, seconds, n_threads),
        "many": per_thread(many, seconds, n_threads),
    }


def per_thread(blocks, seconds, n_threads):
    """Measurements of each block by name and number of threads, all in turn."""
    every = {(name, n): with_threads(n, block) for name, block in blocks.items() for n in n_threads}
    measured = alternate(every, seconds)
    return {name: {str(n): measured[name, n] for n in n_threads} for name in blocks}


def new_tasks(case, n_tasks):
    """Support sets of 25 rows, and 100 rows to predict, of tasks that training has not seen."""
    X, y = case.draw(np.random.default_rng(1), n_tasks, case.n_support + 100)
    n = case.n_support
    return list(zip(X[:, :n], y[:, :n], strict=True)), list(X[:, n:])


def in_turn(answer, supports, queries):
    """A function that answers for another task at each call."""
    number = 0

    def step():
        nonlocal number
        answer(supports[number % len(supports)], queries[number % len(supports)])
        number += 1

    return step


def regress(support, query):
    """A logistic regression of the task alone."""
    return LogisticRegression().fit(*support).predict(query)


def tutorial_model(case, clf, tasks):
    """A function that adapts by SGD and predicts as tutorials do, from what ``clf`` learned of tasks."""
    model, rows = case.model(), np.concatenate([X for X, _ in tasks])
    mean, scale = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    learned = clf.meta_params_
    start = [p for name, p in learned.items() if name.startswith("backbone.")]
    start += [learned["head.weight"], learned["head.bias"]]
    names = [name for name, _ in model.named_parameters()]

    def answer(support, query):
        X, X_query = (torch.as_tensor(((X - mean) / scale).astype(np.float32)) for X in (support[0], query))
        y = torch.as_tensor(support[1])
        params = [p.clone().requires_grad_() for p in start]
        for _ in range(case.inner_steps):
            loss = case.loss(functional_call(model, dict(zip(names, params, strict=True)), X), y)
            grads = torch.autograd.grad(loss, params)
            steps = zip(params, grads, strict=True)
            params = [(p - case.inner_lr * g).detach().requires_grad_() for p, g in steps]
        with torch.no_grad():
            adapted = dict(zip(names, params, strict=True))
            return functional_call(model, adapted, X_query).argmax(1).numpy()

    return answer


def check_predictions(clf, loop, supports, queries):
    """Share of rows for which skmeta and the loop predict the same; raises if they differ."""
    ours = np.concatenate(clf.predict_tasks(supports, queries))
    theirs = np.concatenate(list(map(loop, supports, queries)))
    agreement = float(np.mean(ours == theirs))
    if agreement < LEAST_AGREEMENT:
        raise ValueError(f"predict_tasks and the plain loop agree on {agreement:.2%} of the rows only.")
    return agreement
