"""The feature views: the names of `tastemaker.features.names` with Feast's types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float32, String

from tastemaker.features.names import ITEM_MEANINGS, USER_MEANINGS
from tastemaker.features.online import ITEM_VIEW, USER_VIEW
from tastemaker_features.entities import item, user


def user_view(source: FileSource) -> FeatureView:
    """Return the view of user features, with the country as text."""
    country = Field(
        name="country", dtype=String, description="the user's country, as the users table has it now"
    )
    return _view(USER_VIEW, user, source, [*_numbers(USER_MEANINGS), country])


def item_view(source: FileSource) -> FeatureView:
    """Return the view of item features."""
    return _view(ITEM_VIEW, item, source, _numbers(ITEM_MEANINGS))


def _numbers(meanings: Mapping[str, str]) -> list[Field]:
    return [Field(name=name, dtype=Float32, description=meaning) for name, meaning in meanings.items()]


def _view(name: str, entity: Entity, source: FileSource, fields: list[Field]) -> FeatureView:
    """Return a view whose values never expire: a user who returns after a year is still known."""
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(0),
        schema=[Field(name=entity.join_key, dtype=String), *fields],
        source=source,
        online=True,
    )
