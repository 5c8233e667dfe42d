"""The online store: the same tests on SQLite, on a real Redis and on a real Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from support.feature_lakes import (
    DAY,
    END,
    N_USERS,
    ONLINE_STORES,
    online_settings,
    user_id,
    with_snapshots,
)
from tastemaker.features import ITEM_FEATURES, USER_FEATURES
from tastemaker.features.online import open_reader
from tastemaker.plugins.arrays import Float32
from tastemaker.settings import Settings
from tastemaker_features import store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's and Ibis's own

EARLIER = END - 20 * DAY


@pytest.fixture(params=ONLINE_STORES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Two snapshots on disk, the registry applied, nothing online yet."""
    return with_snapshots(online_settings(request, tmp_path), EARLIER, END)


def test_what_is_read_online_is_the_latest_snapshot(settings: Settings) -> None:
    """Two materializations: the later wins, an unknown user is all missing, the order is the caller's."""
    asked = [user_id(number) for number in reversed(range(N_USERS))] + ["unknown"]
    for cut in (EARLIER, END):
        rows = store.materialize(settings, cut)
        expected = _snapshot(settings, "users", cut)
        assert rows == len(expected) + len(_snapshot(settings, "items", cut))
        found = read(settings, asked, USER_FEATURES)
        assert found.dtype == np.float32
        missing = dict.fromkeys(USER_FEATURES)
        wanted = [[expected.get(user, missing)[name] for name in USER_FEATURES] for user in asked]
        np.testing.assert_array_equal(found, np.array(wanted, dtype=np.float32))
    assert np.isnan(found[-1]).all()


def test_materializing_again_changes_nothing(settings: Settings) -> None:
    asked, names = [user_id(0), user_id(1)], ["user_recency_days", "user_spend_total"]
    store.materialize(settings, END)
    before = read(settings, asked, names)
    store.materialize(settings, END)
    np.testing.assert_array_equal(read(settings, asked, names), before)


def test_text_and_items_are_online_too(settings: Settings) -> None:
    store.materialize(settings, END)
    references = [f"item_features:{name}" for name in ITEM_FEATURES]
    users = [{"user_id": user_id(number)} for number in (0, 1)]
    with store.open_store(settings) as opened:
        countries = opened.get_online_features(["user_features:country"], users).to_dict()["country"]
        items = opened.get_online_features(references, [{"item_id": "item 3"}]).to_dict()
    assert countries == [None, "country 1"]
    expected = _snapshot(settings, "items", END)["item 3"]
    assert [items[name][0] for name in ITEM_FEATURES] == [expected[name] for name in ITEM_FEATURES]


def test_nothing_asked_is_nothing_read(settings: Settings) -> None:
    assert read(settings, [], USER_FEATURES).shape == (0, len(USER_FEATURES))
    assert read(settings, [user_id(0)], []).shape == (1, 0)


def read(settings: Settings, users: Sequence[str], names: Sequence[str]) -> Float32:
    """By a new reader, as a service that starts."""
    with closing(open_reader(settings)) as reader:
        return reader.users(users, names)


def _snapshot(settings: Settings, kind: str, cut: int) -> dict[str, dict[str, Any]]:
    table = pq.ParquetFile(settings.features / kind / f"before={cut}" / "part.parquet").read()
    return {row[table.column_names[0]]: row for row in table.to_pylist()}
