"""Look inside a meta-trained model."""

from skmeta.inspection.importance import FeatureImportanceDisplay, feature_importance
from skmeta.inspection.influence import SupportInfluenceDisplay, support_influence
from skmeta.inspection.updates import UpdatesDisplay

__all__ = [
    "FeatureImportanceDisplay",
    "SupportInfluenceDisplay",
    "UpdatesDisplay",
    "feature_importance",
    "support_influence",
]
