"""The Feast entities: users and items."""

from __future__ import annotations

from feast import Entity, ValueType

user = Entity(
    name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="a customer of the shop"
)
item = Entity(
    name="item", join_keys=["item_id"], value_type=ValueType.STRING, description="a product of the shop"
)
