"""A replayed version that reads user features gets those that were logged, else those of then."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support import shop_homes
from support.request_logs import fill, request
from tastemaker.event_log.records import Record
from tastemaker.features.snapshots import snapshots
from tastemaker.log_search.replay import replay
from tastemaker.registry.artifact import load_version
from tastemaker.settings import OnlineStoreSettings, Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast imports deprecated modules
]


def test_logged_features_come_first_then_those_of_the_newest_snapshot_of_then(tmp_path: Path) -> None:
    """A later snapshot is not read, and a list of other features may differ."""
    version = shop_homes.make_ranker_home(tmp_path, OnlineStoreSettings())
    home, loaded = Settings(home=tmp_path), load_version(version.folder)
    names = loaded.model.capabilities.user_features
    cuts = list(snapshots(home.features, "users"))
    assert len(cuts) > 1
    (first, path), (second, _) = cuts[0], cuts[1]
    known = pq.read_table(path).to_pylist()[0]

    def asked(number: int, at: float, features: dict[str, float | None] | None) -> Record:
        return request(number, occurred_at=at, user_id=known["user_id"], features=features, items=[], k=5)

    logged: dict[str, float | None] = {"other": 1.0}
    logged.update((name, float(place)) for place, name in enumerate(names))
    fill(
        home.spool,
        [
            asked(1, second - 1.0, logged),
            asked(2, second - 1.0, {"other": 1.0}),
            asked(3, first - 1.0, None),
        ],
    )
    found = {number: replay(f"{number:032x}", loaded, home) for number in (1, 2, 3)}
    assert found[1].features == {name: logged[name] for name in names}
    assert found[1].features_from == "as logged"
    assert found[2].features == {name: known[name] for name in names}
    assert "snapshot" in found[2].features_from
    assert found[3].features == dict.fromkeys(names)
    assert "missing" in found[3].features_from
    assert all(one.answer.stage == "model" for one in found.values())
