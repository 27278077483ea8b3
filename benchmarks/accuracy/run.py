"""Fit, choose by cross-validation over development tasks, score."""

import time
from functools import cache, lru_cache

import numpy as np
from joblib import hash as checksum
from sklearn.model_selection import ParameterGrid

from benchmarks.accuracy.data import DATA_SETS, folder
from benchmarks.accuracy.episodes import draw, final_parts, folds, split
from skmeta.tasks.rows import concatenate_rows

LEAST = 1e-6  # of a probability, so that its logarithm is finite
# Of each measure, whether more or less of it is better.
SIGNS = {"accuracy": 1, "log loss": -1, "error": -1}


class Part:
    """Training tasks, and held-out ones with their episodes.

    Parameters
    ----------
    study : Study
    train, held : int arrays
        Numbers of the tasks.
    """

    def __init__(self, study, train, held):
        self.kind, self.held, tasks = study.kind, held, all_tasks(study.data)
        prepared = DATA_SETS[study.data].prepare([tasks[i] for i in train], [tasks[i] for i in held])
        self.train, self.tasks = prepared
        self.episodes = {cell: draw(study, cell, self.tasks) for cell in study.cells}
        self.y = np.concatenate([task.y for task in self.tasks])
        # Rotations of a character are not independent of it.
        _, family = np.unique([task.family for task in tasks], return_inverse=True)
        self.class_of_row = np.repeat(family[held], [len(task.y) for task in self.tasks])
        self.rows = {}
        shapes = {name: X.shape[1:] for name, X in self.tasks[0].views.items()}
        self.checksums = {cell: checksum([shapes, self.y, drawn]) for cell, drawn in self.episodes.items()}

    @property
    def views(self):
        """Names of the views, the first of which is skmeta's."""
        return list(self.train[0].views)

    def score(self, cell, model, view):
        """Scores of a model, by measure: of each episode, and of each class if labels are a task's own."""
        if view not in self.rows:
            self.rows = {view: concatenate_rows([task.views[view] for task in self.tasks])}  # one at a time
        X, found = self.rows[view], []
        counts = np.zeros((2, 1 + self.class_of_row.max()))
        for _, support, query in self.episodes[cell]:
            answer = model(X[support], self.y[support], X[query])
            if self.kind == "regression":
                found.append(of_values(answer, self.y[query]))
                continue
            # Which classes a task has is known where support rows are drawn of each.
            among = np.unique(self.y[support]) if cell.draw == "stratified" else None
            scores, right = of_classes(answer, self.y[query], among)
            found.append(scores)
            for row, weights in enumerate((None, right)):
                counts[row] += np.bincount(self.class_of_row[query], weights, counts.shape[1])
        scores = {name: np.array([one[name] for one in found]) for name in found[0]}
        if not all(np.isfinite(values).all() for values in scores.values()):
            raise FloatingPointError(f"{cell}, view {view!r}: a score is not finite.")
        scores["task"] = self.held[[episode.task for episode in self.episodes[cell]]]
        if self.kind == "per_task":
            asked = np.flatnonzero(counts[0])
            scores |= {"class": asked, "accuracy of class": counts[1, asked] / counts[0, asked]}
        return scores


def measure(study, method, seed, record, which="development", n_folds=None, tell=print):
    """Score the candidates of each cell on held-out tasks, and keep the best one's scores.

    Of final tasks, the only candidate is the one that development tasks chose.
    """
    parts = parts_of(study, which)[:n_folds]
    start, found = time.process_time(), {}
    candidates = candidates_of(method, parts[0].views)
    tried, sources, keys = {}, {}, {}
    for cell in study.cells:
        key = method.name, str(cell), seed
        names = list(candidates) if which == "development" else [record.get("development", *key)["chosen"]]
        source = checksum([names, [part.checksums[cell] for part in parts]])
        if record.lacks(which, *key, made_of=source):
            tried[cell], sources[cell], keys[cell] = names, source, (which, *key)
    for part in parts:
        for name, (view, params) in candidates.items():
            model_of = fit(method, part.train, view, seed, params)
            for cell in [cell for cell in tried if name in tried[cell]]:
                found.setdefault((cell, name), []).append(part.score(cell, model_of(cell), view))
    seconds = round(time.process_time() - start, 1)
    for cell, names in tried.items():
        scores = {name: joined(found[cell, name]) for name in names}
        best = max(names, key=lambda name: SIGNS[study.measure] * scores[name][study.measure].mean())
        more = {"chosen": best, "made_of": sources[cell], "seconds": seconds}
        record.put(*keys[cell], scores=scores[best], **more)
    if tried:
        tell(f"{study.data}: {method.name}, {which} tasks, {seconds:.0f} s")


def candidates_of(method, views):
    """Pairs of a view and parameters, by what they are called."""
    tried = {"first": views[:1], "all": views}
    tried = tried[method.views] if isinstance(method.views, str) else [v for v in views if v in method.views]
    pairs = [(view, params) for view in tried for params in ParameterGrid(method.grid)]
    return {", ".join([v, *(f"{k.rpartition('__')[2]}={p[k]}" for k in p)]): (v, p) for v, p in pairs}


def fit(method, train, view, seed, params):
    """The model of a cell, fitted when asked for: one for all, or for each number of rows that is told."""

    @cache
    def model(**told):
        return method.fit(train, view, seed, **told, **params)

    return lambda cell: model(n_shot=cell.n_shot) if method.per_shot else model()


def of_values(answer, y):
    """Mean absolute error, and coverage and width of the intervals if there are some."""
    scores = {"error": np.abs(answer.predicted - y).mean()}
    if answer.low is not None:
        scores["coverage"] = ((answer.low <= y) & (y <= answer.high)).mean()
        scores["width"] = (answer.high - answer.low).mean()
    return scores


def of_classes(answer, y, among):
    """Accuracy, log loss if there are probabilities, and whether each row is right.

    Answers are narrowed to the classes that a task has, if these are known.
    """
    predicted, p = answer.predicted, answer.probabilities
    if p is None:
        right = predicted == y
        return {"accuracy": right.mean()}, right
    classes = np.asarray(answer.classes)
    if among is not None:
        kept = np.isin(classes, among)
        p, classes = p[:, kept], classes[kept]
        p, predicted = p / p.sum(1, keepdims=True).clip(1e-300), classes[p.argmax(1)]
    right = predicted == y
    p = (p * (y[:, None] == classes)).sum(1)
    return {"accuracy": right.mean(), "log loss": -np.log(p.clip(LEAST, 1 - LEAST)).mean()}, right


def joined(scored):
    """Scores of several parts, one after another."""
    return {name: np.concatenate([scores[name] for scores in scored]) for name in scored[0]}


@lru_cache(maxsize=1)
def all_tasks(data):
    """The tasks of a data set."""
    return DATA_SETS[data].read(folder())


@lru_cache(maxsize=1)
def parts_of(study, which):
    """The ``Part`` s of a study: folds of its development tasks, or what its final tasks are scored by."""
    tasks = all_tasks(study.data)
    pairs = folds(tasks, split(tasks)[0]) if which == "development" else final_parts(tasks)
    return [Part(study, *pair) for pair in pairs]
