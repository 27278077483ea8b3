"""Few-shot evaluation: of estimators of skmeta and of scikit-learn on the same episodes, and in searches."""

from skmeta.model_selection.compare import compare
from skmeta.model_selection.evaluate import evaluate
from skmeta.model_selection.scorer import few_shot_scorer
from skmeta.model_selection.shots_curve import ShotsCurveDisplay, shots_curve

__all__ = ["ShotsCurveDisplay", "compare", "evaluate", "few_shot_scorer", "shots_curve"]
