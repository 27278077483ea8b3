"""Few-shot meta-learning estimators for scikit-learn."""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "BasisMetaModel": "core.meta_models",
    "MLP": "core.backbones",
    "Conv4": "core.backbones",
    "FeaturePyramid": "core.backbones",
    "FewShotClassifier": "estimators",
    "FewShotRegressor": "estimators",
    "GaussianNoise": "core.augment",
    "PerTask": "estimators",
    "Rotations": "core.augment",
    "Shifts": "core.augment",
    "Step": "core.inner_loop",
    "TAMLClassifier": "estimators",
    "TAMLDetector": "estimators",
    "TAMLRegressor": "estimators",
    "TMAMLClassifier": "estimators",
    "TMAMLDetector": "estimators",
    "TMAMLRegressor": "estimators",
    "TaskList": "tasks.task_list",
    "WeightedFeatures": "core.backbones",
    "adapt": "estimators",
    "compare": "model_selection",
    "evaluate": "model_selection",
    "few_shot_scorer": "model_selection",
    "predict_interval": "estimators",
    "shots_curve": "model_selection",
}

__all__ = list(_HOME)


def __getattr__(name):
    # torch and skorch take a second to load: only when something is used.
    if name not in _HOME:
        raise AttributeError(f"module 'skmeta' has no attribute {name!r}")
    return getattr(import_module(f"skmeta.{_HOME[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
