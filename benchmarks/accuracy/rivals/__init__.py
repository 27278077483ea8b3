"""What users would do otherwise: a line for each rival, with the grid in which it is tuned."""

from functools import partial

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from benchmarks.accuracy.method import Method
from benchmarks.accuracy.rivals.estimators import Prototypes, both, local, pooled, shares
from benchmarks.accuracy.rivals.gaussian_process import learned_process
from benchmarks.accuracy.rivals.gpboosting import gpboost
from benchmarks.accuracy.rivals.known_forms import broken_line, damped_biases, fold_in
from benchmarks.accuracy.rivals.mixed_models import boosting_and_effects, logistic_mixed, mixed
from benchmarks.accuracy.rivals.mlp import MLP, fine_tuned

__all__ = ["RIVALS"]

OWN = {"per_task": True}  # where a label means something only inside a task


def scaled(fit, *steps):
    """Of features that are standardised by the rows of training tasks."""
    return partial(fit, make_pipeline(StandardScaler(), *steps))


def prototypes_of(features, **label_space):
    """Nearest prototypes of features that are learned from training tasks."""
    return scaled(partial(local, **label_space), features, Prototypes())


def of_length_one(estimator):
    """On support rows of length one."""
    return partial(local, make_pipeline(Normalizer(), estimator), **OWN)


def grid(step, **params):
    """The parameters of a step of a pipeline."""
    return {f"{step}__{name}": values for name, values in params.items()}


LOGISTIC = LogisticRegression(max_iter=300)
CONTINUED = LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
TREES = ExtraTreesClassifier(50)
FEW_TREES = ExtraTreesClassifier(25, min_samples_leaf=3)
BOOSTING = HistGradientBoostingClassifier(max_iter=50, early_stopping=False)
BOOSTING_R = HistGradientBoostingRegressor(learning_rate=0.06, early_stopping=False)
DISCRIMINANTS = LinearDiscriminantAnalysis(solver="eigen")
PROCESS = GaussianProcessRegressor(optimizer=None, normalize_y=True)
MLP_R = partial(fine_tuned, regression=True)

C = grid("logisticregression", C=[1, 0.1, 10])
LARGE_C = grid("logisticregression", C=[10, 1, 100])
ALPHA = grid("ridge", alpha=[10, 1, 100])
SMALL_ALPHA = grid("ridgeclassifier", alpha=[1, 0.1])
LENGTHS = [Matern(length, nu=1.5) for length in (3, 1, 10, 30)]
KERNEL = grid("gaussianprocessregressor", kernel=LENGTHS, alpha=[1e-2, 1, 1e-8])
SHRINKAGE = grid("lineardiscriminantanalysis", shrinkage=[0.1, 0.5])
DISTANCE = grid("prototypes", metric=["cosine", "euclidean"], temperature=[0.1, 1])
FEATURES = grid("mlp", n_batches=[1000, 300])
LEAF, RATE = {"min_samples_leaf": [3, 10]}, {"learning_rate": [0.1, 0.3]}
WEIGHT, SLOPES = {"weight": [50, 5]}, {"slopes": [True, False]}
BATCHES = {"n_batches": [300, 3000]}
TUNING = {**BATCHES, "n_steps": [10, 3, 100], "lr": [1e-3, 3e-3]}
BOOSTED = {"num_boost_round": [150], "max_depth": [2, 4], "learning_rate": [0.05, 0.5]}

EVERY, SEEDED = {"views": "all"}, {"seeded": True}
FLAT = {"views": ("embedding", "letters", "pixels")}
DENSE = {"views": ("embedding", "svd", "pixels")}
TWO_CLASSES = {"studies": ("verbagg", "respiratory", "guimmun", "males")}
PARKINSONS, MOVIELENS = {"studies": ("parkinsons",), "views": ("time",)}, {"studies": ("movielens",)}

# Of each kind of study: the name, how it learns, what is tuned, and what else differs.
LINES = {
    "shared": [
        ("constant", scaled(pooled, DummyClassifier()), {}, {}),
        ("local mean", shares, {}, {}),
        ("local logistic regression", scaled(local, LOGISTIC), C, EVERY),
        ("local extra trees", scaled(local, TREES), {}, SEEDED),
        ("nearest prototypes", scaled(local, Prototypes()), DISTANCE, EVERY),
        ("prototypes of pooled discriminants", prototypes_of(DISCRIMINANTS), SHRINKAGE | DISTANCE, EVERY),
        ("pooled logistic regression", scaled(pooled, LOGISTIC), C, EVERY),
        ("pooled forest", partial(pooled, RandomForestClassifier(50)), LEAF, SEEDED),
        ("pooled boosting", partial(pooled, BOOSTING), RATE, {}),
        ("pooled MLP", fine_tuned, BATCHES, EVERY | SEEDED),
        ("pooled + local logistic regression", scaled(both, CONTINUED), C | WEIGHT, {}),
        ("pooled + local extra trees", scaled(both, FEW_TREES), WEIGHT, SEEDED),
        ("fine-tuned pooled MLP", fine_tuned, TUNING, EVERY | SEEDED),
        ("logistic mixed model", logistic_mixed, {}, TWO_CLASSES),
        ("GPBoost", partial(gpboost, binary=True), BOOSTED, TWO_CLASSES),
    ],
    "regression": [
        ("local mean", scaled(local, DummyRegressor()), {}, {}),
        ("local ridge", scaled(local, Ridge()), ALPHA, EVERY),
        ("local Gaussian process", scaled(local, PROCESS), KERNEL, EVERY),
        ("local MLP", partial(MLP_R, n_batches=0, lr=1e-2), {"n_steps": [30, 300]}, EVERY | SEEDED),
        ("pooled ridge", scaled(pooled, Ridge()), ALPHA, {}),
        ("pooled boosting", partial(pooled, BOOSTING_R), {"max_iter": [50, 150]}, {}),
        ("pooled MLP", MLP_R, BATCHES, SEEDED),
        ("pooled + local ridge", scaled(both, Ridge()), ALPHA | WEIGHT, {}),
        ("fine-tuned pooled MLP", MLP_R, TUNING, EVERY | SEEDED),
        ("linear mixed model", mixed, SLOPES, EVERY),
        ("boosting + BLUP", boosting_and_effects, SLOPES, EVERY),
        ("GPBoost", gpboost, BOOSTED | SLOPES, EVERY),
        ("learned Gaussian process", learned_process, {"n_knots": [0, 3]}, EVERY),
        ("broken line", broken_line, {"prior": [1e-4, 0]}, PARKINSONS),
        ("damped biases", damped_biases, {"damping": [3, 1, 10]}, MOVIELENS),
        ("fold-in ridge", fold_in, {"alpha": [30, 100, 300], "damping": [3, 1]}, MOVIELENS),
    ],
    "per_task": [
        ("cosine prototypes", of_length_one(Prototypes()), {}, FLAT),
        ("local logistic regression", of_length_one(LOGISTIC), LARGE_C, FLAT),
        ("local ridge classifier", of_length_one(RidgeClassifier()), SMALL_ALPHA, FLAT),
        ("prototypes of pooled discriminants", prototypes_of(DISCRIMINANTS, **OWN), SHRINKAGE, DENSE),
        ("prototypes of a pooled MLP's features", prototypes_of(MLP(), **OWN), FEATURES, DENSE | SEEDED),
        ("fine-tuned pooled MLP", partial(fine_tuned, **OWN), {"n_steps": [20, 100]}, DENSE | SEEDED),
    ],
}

RIVALS = [
    Method(name, (kind,), fit, tuned, **more)
    for kind, lines in LINES.items()
    for name, fit, tuned, more in lines
]
