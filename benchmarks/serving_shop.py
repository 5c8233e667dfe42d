"""What the serving benchmark serves: a home folder with one version of `factors`, and its users' features."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.features.snapshots import write_snapshots
from tastemaker.plugins import Events, History, TrainingData
from tastemaker.problem import ProblemSpec
from tastemaker.registry import Registry
from tastemaker.serving.build.precompute import precomputing
from tastemaker.serving_settings import RetrievalSettings, ServingSettings
from tastemaker.settings import Settings
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.storage.engine import open_engine

N_USERS, HISTORY, SIZE = 5_000, 20, 64
DAY = 86_400
END = 1_700_000_000 // DAY * DAY
PROBLEM = ProblemSpec.model_validate(
    {"name": "benchmark", "objectives": [{"name": "sales", "events": {"purchase": {}}}]}
)


def install_plugin(folder: Path) -> Path:
    """Write `factors` as an installed distribution into a folder for PYTHONPATH, and return the folder."""
    package, about = folder / "tastemaker_factors", folder / "tastemaker_factors-1.dist-info"
    for each in (package, about):
        each.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "factors.py").write_text(Path(__file__).with_name("factors.py").read_text())
    (package / "service.py").write_text(
        "from tastemaker.serving.bento_service import service\n\nFactors = service('factors')\n"
    )
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tastemaker-factors\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[tastemaker.models]\nfactors = tastemaker_factors.factors:Factors\n"
    )
    sys.path.insert(0, str(folder))
    return folder


def user_id(number: int) -> str:
    """Return the id of the user with this number."""
    return f"user-{number:06d}"


def make_home(home: Path, n_items: int, *, index: bool) -> None:
    """Register a version over `n_items` items, with the index of a large catalogue or without it."""
    settings = Settings(
        home=home,
        retrieval=RetrievalSettings(index_items=1 if index else 10**9),
        serving=ServingSettings(precomputed_users=500),
    )
    rng = np.random.default_rng(0)
    snapshot = _snapshot(n_items, rng)
    from tastemaker_factors.factors import Factors  # type: ignore[import-not-found]  # installed above

    none = np.empty(0, np.int32)
    events = Events(none, none, none.astype(np.float32), none.astype(np.int64))
    model = Factors().fit(TrainingData(events, N_USERS, n_items, END, rng=rng))
    Registry(open_engine(settings.metadata_url), settings.artifacts).add(
        model,
        problem=PROBLEM,
        snapshot=snapshot,
        window=(0, END),
        counts={"events": N_USERS * HISTORY, "users": N_USERS, "items": n_items},
        seed=0,
        precompute=precomputing(settings),
    )


def _snapshot(n_items: int, rng: np.random.Generator) -> Snapshot:
    users = np.repeat(np.arange(N_USERS, dtype=np.int32), HISTORY)
    items = rng.integers(0, n_items, len(users)).astype(np.int32)
    events = Events(users, items, np.ones(len(users), np.float32), END - np.arange(len(users))[::-1] - 1)
    return Snapshot(
        user_ids=IdIndex.build(user_id(number) for number in range(N_USERS)),
        item_ids=IdIndex.build(f"item-{number:07d}" for number in range(n_items)),
        history=History.from_events(events, N_USERS, n_items),
        end=END,
        repeats=False,
        available=None,
        popular=rng.permutation(n_items).astype(np.int32),
        item_features=None,
        data_hash="0" * 64,
    )


def fill_features(home: Path) -> None:
    """Write four purchases per user, their features, and these features in the online store."""
    from tastemaker_features import store

    settings, rng = Settings(home=home), np.random.default_rng(0)
    n = 4 * N_USERS
    timestamps = np.sort(rng.integers(END - 5 * DAY, END, n))
    rows = pa.table(
        {
            "event_id": [f"event-{number}" for number in range(n)],
            "user_id": [user_id(number % N_USERS) for number in range(n)],
            "item_id": [f"item-{number % 50:07d}" for number in range(n)],
            "event_type": ["purchase"] * n,
            "value": rng.integers(1, 400, n) / 4,
            "occurred_at": pa.array(timestamps * 1_000_000, EVENTS.field("occurred_at").type),
            "request_id": pa.nulls(n, pa.string()),
            "position": pa.nulls(n, pa.int32()),
        }
    )
    lake, days = Lake(settings.lake), timestamps // DAY
    for day in np.unique(days):
        lake.write_day("events", day.astype("datetime64[D]").item(), rows.filter(pa.array(days == day)))
    first = (END - 5 * DAY) * 1_000_000
    people = [{"user_id": user_id(n), "country": "NL", "first_seen_at": first} for n in range(N_USERS)]
    goods = [{"item_id": f"item-{n:07d}", "category": "c", "first_seen_at": first} for n in range(50)]
    lake.write("users", pa.Table.from_pylist(people, USERS))
    lake.write("items", pa.Table.from_pylist(goods, ITEMS))
    write_snapshots(lake, settings.features, [END])
    store.apply(settings)
    store.materialize(settings, END)
