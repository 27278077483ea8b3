"""Look inside a meta-trained model."""

from skmeta.inspection.importance import FeatureImportanceDisplay, feature_importance
from skmeta.inspection.influence import SupportInfluenceDisplay, support_influence

__all__ = [
    "FeatureImportanceDisplay",
    "SupportInfluenceDisplay",
    "feature_importance",
    "support_influence",
]
