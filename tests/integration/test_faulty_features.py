"""Faults of the online feature store, of each kind: wrong values and a lock, until the block ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import NullPool, create_engine, inspect

from support.feature_lakes import END, N_USERS, ONLINE_STORES, online_settings, user_id, with_snapshots
from tastemaker.errors import TastemakerError
from tastemaker.features import USER_FEATURES
from tastemaker.features.online import OnlineReader, open_reader
from tastemaker.plugins.arrays import Float32
from tastemaker.settings import OnlineStoreSettings, Settings
from tastemaker.workflows.faults.feature_values import ALTERED, altered
from tastemaker.workflows.faults.locked_stores import features_locked
from tastemaker_features import store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own
LOCKED_SECONDS = 1.0
USERS = [user_id(number) for number in range(N_USERS)]


@pytest.fixture(params=ONLINE_STORES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Features of all users online."""
    settings = with_snapshots(online_settings(request, tmp_path), END)
    store.materialize(settings, END)
    return settings


@pytest.fixture
def reader(settings: Settings) -> Iterator[OnlineReader]:
    """What a service reads by."""
    with closing(open_reader(settings)) as opened:
        yield opened


def values(reader: OnlineReader) -> Float32:
    return reader.users(USERS, USER_FEATURES)


EXPECTED: dict[str, Callable[[Float32, Float32], NDArray[np.bool_]]] = {
    "features_missing": lambda now, before: np.isnan(now),
    "features_infinite": lambda now, before: np.isposinf(now) | np.isnan(before),
    "features_wrong": lambda now, before: np.isclose(now, 1.5 * before + 1, equal_nan=True),
}


def test_half_of_the_users_have_other_values_until_the_end(settings: Settings, reader: OnlineReader) -> None:
    assert EXPECTED.keys() == ALTERED.keys()
    before = values(reader)
    assert not np.isnan(before).all(1).any(), "each user has some value"
    for name, is_altered in EXPECTED.items():
        with altered(name, settings, 0.5):
            now = values(reader)
        hit = is_altered(now, before).all(1)
        assert hit.sum() == N_USERS // 2, name
        np.testing.assert_array_equal(now[~hit], before[~hit])
        np.testing.assert_array_equal(values(reader), before)
    store.materialize(settings, END)
    np.testing.assert_array_equal(values(reader), before)


def test_a_locked_store_is_not_read_before_the_lock_ends(settings: Settings, reader: OnlineReader) -> None:
    before = values(reader)
    found: list[Float32] = []
    reading = threading.Thread(target=lambda: found.append(values(reader)))
    with features_locked(settings):
        reading.start()
        reading.join(LOCKED_SECONDS)
        assert reading.is_alive()
        assert not found
    reading.join(30)
    np.testing.assert_array_equal(found[0], before)


@pytest.mark.servers
def test_a_lock_makes_no_table(postgres_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, online_store=OnlineStoreSettings(type="postgres", url=postgres_url))
    with pytest.raises(TastemakerError, match=r"tastemaker_user_features can't be locked: .* does not exist"):
        features_locked(settings).__enter__()
    engine = create_engine(postgres_url, poolclass=NullPool)
    assert inspect(engine).get_table_names() == []
