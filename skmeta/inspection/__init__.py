"""Look inside a meta-trained model."""

from skmeta.inspection.influence import SupportInfluenceDisplay, support_influence

__all__ = ["SupportInfluenceDisplay", "support_influence"]
