"""Feature logic as Ibis expressions, point-in-time correct; their snapshots; the online reader.

Feast's own objects (entities, sources, views, services) live in `feature_repo/`, not here.
"""

from tastemaker.features.items import item_features
from tastemaker.features.names import ITEM_FEATURES, USER_FEATURES
from tastemaker.features.users import user_features

__all__ = ["ITEM_FEATURES", "USER_FEATURES", "item_features", "user_features"]
