"""skmeta's methods: a line each."""

from functools import partial

import numpy as np

import skmeta
from benchmarks.accuracy.method import Answer, Method
from benchmarks.accuracy.rivals.estimators import pooled_rows
from skmeta import Conv4, GaussianNoise, Shifts

KINDS = "regression", "shared", "per_task"


def ours(algorithm, kind, tasks, view, seed, **params):
    """An estimator of skmeta, adapted to each support set."""
    regression = kind == "regression"
    estimator = getattr(skmeta, f"{algorithm}{'Regressor' if regression else 'Classifier'}")
    estimator = estimator(random_state=seed, **params)
    if kind == "per_task":  # one task of all classes
        estimator.fit(*pooled_rows(tasks, view, most=np.inf)[:2])
    else:
        estimator.fit([(task.views[view], task.y) for task in tasks])

    def model(X, y, queries):
        adapted = estimator.adapt(X, y)
        if not regression:
            p = adapted.predict_proba(queries)
            return Answer(adapted.classes_[p.argmax(1)], p, adapted.classes_)
        if "head.noise" not in adapted.adapted_params_:  # it has no intervals
            return Answer(adapted.predict(queries))
        low, high = adapted.predict_interval(queries, coverage=0.9).T
        return Answer(adapted.predict(queries), low=low, high=high)

    return model


def of_each_kind(name, algorithm, params=None, told=False, kinds=KINDS, **method):
    """A method for each kind of study; one that is *told* knows ``n_shot`` and what labels mean."""
    method |= {"seeded": True, "ours": True, "per_shot": told}
    for kind in kinds:
        label_space = {"label_space": kind} if told and kind != "regression" else {}
        yield Method(name, (kind,), partial(ours, algorithm, kind, **label_space, **params or {}), **method)


# What the user guide says in general.
GUIDE = {"average": [0.99], "augment": [None, GaussianNoise(0.5)], "adapt_steps": [None, 20]}
ABLATED = {"studies": ("chicks", "scanners", "omniglot")}
# What training leaves, the kernel of the start included: no step goes anywhere.
START = {"max_iter": 1, "outer_lr": 1e-12}
# As in examples/omniglot.py.
CONV4 = {"module": Conv4, "n_way": 20, "n_query": 3, "meta_batch_size": 4, "max_iter": 20_000}
CONV4 |= {"meta_gradient": "first_order", "adapt_params": "head", "inner_lr": 0.1, "inner_steps": 1}
CONV4 |= {"average": 0.999, "augment": Shifts(2)}
IMAGES = {"kinds": ("per_task",), "studies": ("omniglot",), "views": ("images",)}
OURS = [
    *of_each_kind("TMAML", "TMAML"),
    *of_each_kind("TAML", "TAML"),
    *of_each_kind("TMAML, told", "TMAML", told=True),
]
LONG = [
    *of_each_kind("TAML, told", "TAML", told=True),
    *of_each_kind("TMAML, tuned", "TMAML", told=True, grid=GUIDE),
    *of_each_kind("TAML, tuned", "TAML", told=True, grid=GUIDE),
    *of_each_kind("TMAML, the start", "TMAML", START, **ABLATED),
    *of_each_kind("TMAML, head only", "TMAML", {"adapt_params": "head"}, **ABLATED),
    *of_each_kind("TMAML, first order", "TMAML", {"meta_gradient": "first_order"}, **ABLATED),
    *of_each_kind("TMAML, Reptile", "TMAML", {"meta_gradient": "reptile"}, **ABLATED),
    *of_each_kind("TMAML, joint", "TMAML", {"meta_gradient": "joint"}, **ABLATED),
    *of_each_kind("TMAML, no learned step sizes", "TMAML", {"learn_inner_lr": False}, **ABLATED),
    *of_each_kind("TMAML, Theil", "TMAML", {"task_regularizer": "theil"}, **ABLATED),
    *of_each_kind("TMAML, Conv4", "TMAML", CONV4, told=True, **IMAGES),
]
