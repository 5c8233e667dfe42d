"""What the installed models say that they read exists in the feature store."""

import pytest

from tastemaker.features import ITEM_FEATURES, USER_FEATURES
from tastemaker.plugins.discovery import Plugin, find


@pytest.mark.parametrize("plugin", find().sound, ids=lambda plugin: plugin.name)
def test_declared_features_exist(plugin: Plugin) -> None:
    declared = plugin.recommender.capabilities

    assert set(declared.user_features) <= set(USER_FEATURES)
    assert set(declared.item_features) <= set(ITEM_FEATURES)


def test_at_least_one_model_reads_features() -> None:
    assert any(plugin.recommender.capabilities.user_features for plugin in find().sound)
