"""What one would do without meta-learning: a line for each method, with the parameters it is tuned in."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import ParameterGrid
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer
from sklearn.svm import SVC, SVR

from benchmarks.accuracy.finetuned import FineTunedMLP, PooledMLP
from benchmarks.accuracy.pooled import (
    Corrected,
    NearestPrototypes,
    Pooled,
    PooledAndLocal,
    WithinTask,
    centered,
)
from benchmarks.accuracy.versions import BASELINES as FILES
from benchmarks.accuracy.versions import SCORING, code_version, view_files

MOST_POOLED = 4000


@dataclass(frozen=True)
class Baseline:
    """A method that ``make(tasks, seed, **params)`` makes a model of, for ``skmeta.evaluate``.

    ``params`` are chosen from ``grid`` on meta-validation, and so is the view of the data: of the first,
    all dense ones, or all. ``seeded`` methods depend on a seed, ``slow`` ones are left out of a quick run.
    """

    name: str
    kinds: tuple
    make: Callable
    grid: dict
    seeded: bool = False
    views: str = "first"
    slow: bool = False
    is_ours = False

    def suits(self, study):
        """Whether the method is run in a study."""
        return study.kind in self.kinds

    def code_of(self, params):
        """Version of the code that the result depends on."""
        return code_version(*FILES, *SCORING, *view_files(params))

    def candidates(self, study):
        """The parameters to choose from on meta-validation."""
        dense = study.views
        views = {"first": dense[:1], "dense": dense, "all": (*dense, *study.sparse_views)}[self.views]
        return [{"features": view, **params} for view in views for params in ParameterGrid(self.grid)]

    def n_seeds(self, study):
        """Seeds of the method; one if it depends on none."""
        return study.n_seeds if self.seeded else 1

    def config(self, study):
        """What the result depends on beside the study and the parameters."""
        return {}

    def fit(self, study, tasks, params, seed, clock, load_state, save_state):
        """The model and the minutes that it took to make it."""
        start = time.monotonic()
        model = self.make(tasks, seed, **params)
        return model, {"minutes": (time.monotonic() - start) / 60}

    def quick(self):
        """The same with the first parameters only."""
        return replace(self, grid={name: values[:1] for name, values in self.grid.items()})


def with_params(estimator, seed, params):
    """A clone with the parameters, and the seed if it takes one."""
    seed = {"random_state": seed} if "random_state" in estimator.get_params() else {}
    return clone(estimator).set_params(**params, **seed)


def local(estimator):
    """The estimator on the support set alone."""
    return lambda tasks, seed, **params: with_params(estimator, seed, params)


def pooled(estimator):
    """The estimator on the rows of all meta-train tasks."""

    def make(tasks, seed, **params):
        return Pooled(with_params(estimator, seed, params).fit(*tasks.pooled()))

    return make


def both(estimator):
    """The estimator on both, where a row of the support set counts ``weight`` times."""

    def make(tasks, seed, weight, **params):
        pool = tasks.pooled()
        # It is fitted anew for each episode: of more rows, some at random.
        rows = np.random.RandomState(seed).permutation(len(pool[1]))[:MOST_POOLED]
        return PooledAndLocal(with_params(estimator, seed, params), [part[rows] for part in pool], weight)

    return make


def corrected(estimator):
    """The pooled estimator, and a local ridge regression of its errors; of a large alpha, their mean."""

    def make(tasks, seed, alpha, **params):
        model = with_params(estimator, seed, params).fit(*tasks.pooled())
        return Corrected(model, Ridge(alpha))

    return make


def within(estimator):
    """The support set's mean, and slopes that the tasks have in common."""

    def make(tasks, seed, **params):
        return WithinTask(with_params(estimator, seed, params).fit(*centered(tasks.train)))

    return make


def fine_tuned(*, regression=False, shared=True):
    """A pooled MLP that goes on with the support set; of no steps, the pooled MLP."""

    def make(tasks, seed, n_steps, lr=1e-3, **params):
        pretrained = PooledMLP(regression, random_state=seed, **params).fit(*tasks.pooled())
        return FineTunedMLP(pretrained, shared, n_steps, lr)

    return make


def prototypes_of(transformer):
    """Nearest prototypes of what a transformer, fitted on the pooled rows and classes, makes of rows."""

    def make(tasks, seed, **params):
        fitted = with_params(transformer, seed, params).fit(*tasks.pooled())
        return make_pipeline(FrozenEstimator(fitted), NearestPrototypes())

    return make


SHARED, PER_TASK, REGRESSION = ("shared",), ("per_task",), ("regression",)
CLASSES = *SHARED, *PER_TASK

WEIGHTS = {"weight": [20, 5, 100, 500]}
C = {"C": [1, 0.1, 10]}
SVM = {"C": [1, 10, 100, 1000], "kernel": ["rbf", "linear"]}
POOLED_SVM = {"C": [10, 1, 100]}
LEAF = {"min_samples_leaf": [1, 3]}
RATE = {"learning_rate": [0.1, 0.3]}
ALPHA = {"alpha": [10, 1, 100, 1000]}
ERRORS = {"alpha": [1e6, 100, 10]}
TUNING = {"n_steps": [20, 5, 100], "lr": [1e-3, 1e-2]}
WIDTHS = {"hidden_layer_sizes": [(128, 128), (256,)]}
MORE_TUNING = TUNING | WIDTHS | {"n_epochs": [20, 60], "noise": [0, 0.5]}
EPOCHS = WIDTHS | {"n_steps": [0], "n_epochs": [20, 5, 60], "noise": [0, 0.5]}
FEATURES = WIDTHS | {"n_epochs": [20, 5], "noise": [0, 0.5]}

KERNELS = [RBF(1), RBF(0.3), RBF(3), *(Matern(s, nu=nu) for nu in (1.5, 2.5) for s in (1, 3, 10, 30))]

LOGISTIC = LogisticRegression(max_iter=1000)
FOREST = RandomForestClassifier(100)
SMALL_FOREST = RandomForestClassifier(50)
EXTRA_TREES = ExtraTreesClassifier(100)
BOOSTING = HistGradientBoostingClassifier()
SMALL_BOOSTING = HistGradientBoostingClassifier(max_iter=30)
FOREST_R = RandomForestRegressor(100)
# It is fitted anew for each episode: few trees, which look at a third of the features.
SMALL_FOREST_R = RandomForestRegressor(25, max_features=1 / 3)
BOOSTING_R = HistGradientBoostingRegressor()
SMALL_BOOSTING_R = HistGradientBoostingRegressor(max_iter=30)
DISCRIMINANT = LinearDiscriminantAnalysis(solver="eigen")

BASELINES = [
    Baseline("nearest prototypes", CLASSES, local(NearestPrototypes()), {}, views="all"),
    Baseline(
        "local nearest neighbours",
        CLASSES,
        local(KNeighborsClassifier(weights="distance")),
        {"n_neighbors": [1, 2], "metric": ["cosine", "euclidean"]},
        views="all",
    ),
    Baseline("local logistic regression", CLASSES, local(LOGISTIC), {"C": [1, 0.1, 10, 100]}, views="all"),
    Baseline("local SVC", CLASSES, local(SVC()), SVM, views="all"),
    Baseline("local random forest", CLASSES, local(FOREST), LEAF, seeded=True),
    Baseline("local extra trees", CLASSES, local(EXTRA_TREES), LEAF, seeded=True, views="dense"),
    # Not where labels are of a task: it took longest, and was no better than a random forest where both ran,
    # 46 and 47 % on meta-validation of CLINC150, one shot.
    Baseline(
        "local gradient boosting",
        SHARED,
        local(GradientBoostingClassifier(n_estimators=20)),
        {"max_depth": [1, 3]},
        seeded=True,
        slow=True,
    ),
    Baseline("pooled logistic regression", SHARED, pooled(LOGISTIC), C, views="dense"),
    Baseline("pooled SVC", SHARED, pooled(SVC()), POOLED_SVM, views="dense"),
    Baseline(
        "pooled nearest neighbours",
        SHARED,
        pooled(KNeighborsClassifier()),
        {"n_neighbors": [5, 20]},
        views="dense",
    ),
    Baseline("pooled random forest", SHARED, pooled(FOREST), LEAF, seeded=True, views="dense"),
    Baseline("pooled gradient boosting", SHARED, pooled(BOOSTING), RATE, views="dense"),
    Baseline("pooled MLP", SHARED, fine_tuned(), EPOCHS, seeded=True, views="dense"),
    Baseline(
        "pooled + local logistic regression", SHARED, both(LOGISTIC), C | WEIGHTS, slow=True, views="dense"
    ),
    Baseline(
        "pooled + local random forest", SHARED, both(SMALL_FOREST), LEAF | WEIGHTS, seeded=True, slow=True
    ),
    Baseline(
        "pooled + local extra trees",
        SHARED,
        both(ExtraTreesClassifier(50)),
        LEAF | WEIGHTS,
        seeded=True,
        slow=True,
    ),
    Baseline("pooled + local gradient boosting", SHARED, both(SMALL_BOOSTING), WEIGHTS, slow=True),
    Baseline("fine-tuned pooled MLP", SHARED, fine_tuned(), MORE_TUNING, seeded=True, views="dense"),
    Baseline(
        "fine-tuned pooled MLP, new last layer",
        PER_TASK,
        fine_tuned(shared=False),
        TUNING,
        seeded=True,
        views="dense",
        slow=True,
    ),
    Baseline(
        "prototypes of a pooled MLP's features",
        CLASSES,
        prototypes_of(PooledMLP()),
        FEATURES,
        seeded=True,
        views="dense",
        slow=True,
    ),
    Baseline(
        "prototypes of pooled discriminants",
        CLASSES,
        prototypes_of(DISCRIMINANT),
        {"shrinkage": [0.5, 0.1]},
        views="dense",
        slow=True,
    ),
    Baseline("local mean", REGRESSION, local(DummyRegressor()), {}),
    Baseline("local ridge", REGRESSION, local(Ridge()), ALPHA, views="dense"),
    # Without a limit, ten rows of twenty features and a large C take it minutes.
    Baseline("local SVR", REGRESSION, local(SVR(max_iter=10_000)), SVM, views="dense"),
    Baseline(
        "local nearest neighbours",
        REGRESSION,
        local(KNeighborsRegressor()),
        {"n_neighbors": [3, 1, 5]},
        views="dense",
    ),
    Baseline(
        "local Gaussian process",
        REGRESSION,
        local(GaussianProcessRegressor(optimizer=None, normalize_y=True)),
        {"kernel": KERNELS, "alpha": [1e-2, 1e-1, 1e-3, 1e-4, 1e-6, 1e-8]},
        views="dense",
    ),
    Baseline(
        "local linear splines",
        REGRESSION,
        local(make_pipeline(SplineTransformer(degree=1, knots="quantile", extrapolation="linear"), Ridge())),
        {"splinetransformer__n_knots": [3, 5, 10], "ridge__alpha": [1e-1, 1e-2, 1e-4, 1e-6]},
        views="dense",
    ),
    Baseline(
        "local extra trees",
        REGRESSION,
        local(ExtraTreesRegressor(100)),
        LEAF,
        seeded=True,
        views="dense",
    ),
    Baseline("local random forest", REGRESSION, local(FOREST_R), LEAF, seeded=True, views="dense"),
    Baseline(
        "local gradient boosting",
        REGRESSION,
        local(GradientBoostingRegressor(n_estimators=50)),
        {"max_depth": [1, 3]},
        seeded=True,
        views="dense",
    ),
    Baseline("pooled ridge", REGRESSION, pooled(Ridge()), ALPHA),
    Baseline("pooled SVR", REGRESSION, pooled(SVR()), POOLED_SVM),
    Baseline(
        "pooled nearest neighbours", REGRESSION, pooled(KNeighborsRegressor()), {"n_neighbors": [5, 20, 50]}
    ),
    Baseline("pooled random forest", REGRESSION, pooled(FOREST_R), LEAF, seeded=True),
    Baseline("pooled gradient boosting", REGRESSION, pooled(BOOSTING_R), RATE),
    Baseline("pooled MLP", REGRESSION, fine_tuned(regression=True), EPOCHS, seeded=True),
    Baseline("pooled + local ridge", REGRESSION, both(Ridge()), ALPHA | WEIGHTS),
    Baseline(
        "pooled + local random forest",
        REGRESSION,
        both(SMALL_FOREST_R),
        LEAF | WEIGHTS,
        seeded=True,
        slow=True,
    ),
    Baseline(
        "pooled + local gradient boosting",
        REGRESSION,
        both(SMALL_BOOSTING_R),
        WEIGHTS,
        slow=True,
    ),
    Baseline("pooled ridge, local errors", REGRESSION, corrected(Ridge()), ERRORS),
    Baseline("pooled random forest, local errors", REGRESSION, corrected(FOREST_R), ERRORS, seeded=True),
    Baseline("local mean, common slopes: ridge", REGRESSION, within(Ridge()), ALPHA),
    Baseline("local mean, common slopes: random forest", REGRESSION, within(FOREST_R), LEAF, seeded=True),
    Baseline("fine-tuned pooled MLP", REGRESSION, fine_tuned(regression=True), MORE_TUNING, seeded=True),
]
