"""Look inside a meta-trained model."""

from skmeta.inspection.gain import TransferGainDisplay, transfer_gain
from skmeta.inspection.importance import FeatureImportanceDisplay, feature_importance
from skmeta.inspection.influence import SupportInfluenceDisplay, support_influence
from skmeta.inspection.updates import UpdatesDisplay

__all__ = [
    "FeatureImportanceDisplay",
    "SupportInfluenceDisplay",
    "TransferGainDisplay",
    "UpdatesDisplay",
    "feature_importance",
    "support_influence",
    "transfer_gain",
]
