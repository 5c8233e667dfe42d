"""Feast's point-in-time join against DuckDB's ASOF join, row for row."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest

from support.feature_lakes import DAY, END, FIRST, N_ITEMS, N_USERS, filled, user_id
from tastemaker.features import ITEM_FEATURES, USER_FEATURES
from tastemaker.features.snapshots import weekly_cuts, write_snapshots
from tastemaker.settings import Settings
from tastemaker_features import store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's and Ibis's own

ENTITY_ROWS = 20_000
ASOF = """
    SELECT rows.user_id, rows.item_id, rows.event_timestamp, {features}
    FROM rows
    ASOF LEFT JOIN read_parquet('{root}/users/**/*.parquet') AS users
      ON rows.user_id = users.user_id AND rows.event_timestamp >= users.event_timestamp
    ASOF LEFT JOIN read_parquet('{root}/items/**/*.parquet') AS items
      ON rows.item_id = items.item_id AND rows.event_timestamp >= items.event_timestamp
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    write_snapshots(filled(settings.lake), settings.features, weekly_cuts(FIRST, END))
    store.apply(settings)
    return settings


def entity_rows() -> pd.DataFrame:
    """Unknown users too, times before the first snapshot and exactly at one, and repeated rows."""
    rng = np.random.default_rng(1)
    seconds = rng.integers(FIRST - 30 * DAY, END + 30 * DAY, ENTITY_ROWS)
    seconds[:1000] = rng.choice(weekly_cuts(FIRST, END), 1000)
    times = pd.to_datetime(seconds * 1_000_000 + rng.integers(0, 2, ENTITY_ROWS), unit="us", utc=True)
    rows = pd.DataFrame(
        {
            "user_id": [user_id(number) for number in rng.integers(0, N_USERS + 10, ENTITY_ROWS)],
            "item_id": [f"item {number}" for number in rng.integers(0, N_ITEMS + 5, ENTITY_ROWS)],
            "event_timestamp": times.as_unit("us"),
        }
    )
    return pd.concat([rows, rows.iloc[:500]], ignore_index=True)


def test_every_row_comes_back_with_the_values_of_an_asof_join(settings: Settings) -> None:
    rows, names = entity_rows(), [*USER_FEATURES, "country", *ITEM_FEATURES]
    references = [f"user_features:{name}" for name in (*USER_FEATURES, "country")]
    references += [f"item_features:{name}" for name in ITEM_FEATURES]
    with store.open_store(settings) as opened:
        joined = opened.get_historical_features(rows, references).to_df()
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        query = ASOF.format(features=", ".join(names), root=settings.features)
        expected = connection.sql(query).df()
    assert len(joined) == len(rows)
    assert expected["user_recency_days"].notna().mean() > 0.3
    found, expected = _ordered(joined), _ordered(expected[list(joined.columns)])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_models_service_gives_its_features(settings: Settings) -> None:
    """By the service of a model that reads features, as training outside the platform would ask."""
    rows = entity_rows().iloc[:50]
    with store.open_store(settings) as opened:
        services = {service.name: service for service in opened.list_feature_services()}
        readers = {name: service for name, service in services.items() if service.feature_view_projections}
        joined = {name: opened.get_historical_features(rows, each).to_df() for name, each in readers.items()}
    assert readers
    for name, service in readers.items():
        wanted = {feature.name for view in service.feature_view_projections for feature in view.features}
        assert wanted <= set(joined[name].columns)
        assert len(joined[name]) == len(rows)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    keys = ["user_id", "item_id", "event_timestamp"]
    timed = frame.assign(event_timestamp=pd.to_datetime(frame["event_timestamp"], utc=True).dt.as_unit("us"))
    return timed.sort_values(keys, ignore_index=True)
