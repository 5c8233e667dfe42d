"""Feast feature services: one per model plugin, with the features that it declares, if any."""

from __future__ import annotations

from collections.abc import Iterable

from feast import FeatureService, FeatureView

from tastemaker.errors import PluginError
from tastemaker.features.names import ITEM_FEATURES, USER_FEATURES
from tastemaker.plugins.discovery import Plugin


def model_services(plugins: Iterable[Plugin], users: FeatureView, items: FeatureView) -> list[FeatureService]:
    """Create the feature services, in the order of the plugins.

    Args:
        plugins: The installed models.
        users: The view of user features.
        items: The view of item features.

    Returns:
        One service per model, of its name, with the features that the model declares; there may be none.

    Raises:
        PluginError: A model declares a feature that does not exist; the message names it.
    """
    return [_service(plugin, users, items) for plugin in plugins]


def _service(plugin: Plugin, users: FeatureView, items: FeatureView) -> FeatureService:
    reads = plugin.recommender.capabilities
    parts = []
    for view, names, known in (
        (users, reads.user_features, USER_FEATURES),
        (items, reads.item_features, ITEM_FEATURES),
    ):
        missing = [name for name in names if name not in known]
        if missing:
            raise PluginError(
                f"model {plugin.name} reads features that do not exist: {', '.join(missing)}",
                fix=f"change its capabilities; {view.name} has {', '.join(known)}",
            )
        if names:
            parts.append(view[list(names)])
    return FeatureService(name=plugin.name, features=parts, description=f"what {plugin.entry_point} reads")
