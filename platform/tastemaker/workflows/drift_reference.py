"""Makes the reference of a version's drift report: see `monitoring.drift_reference`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.monitoring import drift_rows
from tastemaker.monitoring.drift_reference import DAYS, DriftReference
from tastemaker.monitoring.drift_rows import DAY, LIST_LENGTH, ROWS_PER_DAY
from tastemaker.monitoring.drift_sides import Side

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tastemaker.data.lake import Lake
    from tastemaker.plugins.arrays import Float32
    from tastemaker.registry import Registry, Version
    from tastemaker.registry.artifact import LoadedVersion

MIN_SERVED = 100
"""With fewer logged requests on a day, its rows are those of its events."""
_BATCH = 256


def ensure_drift_reference(
    lake: Lake, registry: Registry, version: Version, user_columns: Sequence[str] = ()
) -> DriftReference:
    """Return a version's drift reference; make and store it unless it is stored.

    Args:
        lake: The lake, whose events and log are read.
        registry: Where the version and the one before it are.
        version: The version, in whose folder the reference is stored.
        user_columns: The shop's own columns of users that are compared.

    Raises:
        TastemakerError: The version can't be loaded, or the reference can't be written.
    """
    stored = DriftReference.load(version.folder)
    if stored is not None:
        return stored
    reference = make_drift_reference(lake, registry.open(version), user_columns, _of_parent(version))
    reference.save(version.folder)
    return reference


def make_drift_reference(
    lake: Lake,
    loaded: LoadedVersion,
    user_columns: Sequence[str] = (),
    before: DriftReference | None = None,
) -> DriftReference:
    """Return the rows of the last days before a version's training ended.

    Args:
        lake: The lake, whose events and log are read.
        loaded: The version.
        user_columns: The shop's own columns of users that are compared.
        before: The reference of the preceding version of the model, whose days are taken from it.
    """
    days = _days(lake, loaded)
    kept = _kept(before, days)
    popularity = _popularity(loaded)
    with lake.connect() as connection:
        drift_rows.prepare(connection, days)
        fresh = _rows(connection, loaded, [day for day in days if day not in kept], user_columns)
        lists = _lists(connection, loaded, days)
        fresh["lists"] = drift_rows.described_items(connection, lists, popularity).drop_columns("score")
    sides: dict[Side, pa.Table] = {}
    for side, rows in fresh.items():
        old = before.sides.get(side) if before is not None else None
        if side != "lists" and old is not None and old.schema.equals(rows.schema):
            rows = pa.concat_tables([old.filter(pc.is_in(old[DAY], pa.array(kept, pa.date32()))), rows])
        sides[side] = rows
    return DriftReference(sides, popularity)


def _days(lake: Lake, loaded: LoadedVersion) -> list[date]:
    """Return the days of a reference: the last DAYS, or half of the days that the lake has if they are fewer.

    The days before it say when its users came last, and what they chose.
    """
    last = datetime.fromtimestamp(loaded.manifest.window.end - 1, UTC).date()
    known = (last - min(lake.days("events"), default=last)).days + 1
    n = min(DAYS, max(1, known // 2))
    return [last - timedelta(days=back) for back in range(n - 1, -1, -1)]


def _of_parent(version: Version) -> DriftReference | None:
    """Return the reference of the version before this one; None if there is none."""
    parent = version.manifest.parent
    return None if parent is None else DriftReference.load(version.folder.parent / parent)


def _kept(before: DriftReference | None, days: Sequence[date]) -> list[date]:
    """Return the days whose rows are taken from the preceding version; its last may not be complete."""
    if before is None:
        return []
    known = set(before.sides["users"][DAY].to_pylist())
    return [day for day in days if day in known and day < max(known)]


def _rows(
    connection: DuckDBPyConnection,
    loaded: LoadedVersion,
    days: Sequence[date],
    user_columns: Sequence[str],
) -> dict[Side, pa.Table]:
    """Return rows of some days, without lists: as logged where the service answered, else by the events."""
    names = loaded.model.capabilities.user_features
    drift_rows.choose_requests(connection, days, model=loaded.manifest.model)
    served = [day for day, n in drift_rows.request_days(connection).items() if n >= MIN_SERVED]
    drift_rows.choose_requests(connection, served, model=loaded.manifest.model)
    logged: dict[Side, pa.Table] = {
        "users": drift_rows.users_of_requests(connection, user_columns),
        "features": drift_rows.features_of_requests(connection, names),
    }
    events = drift_rows.events_of(connection, days)
    came = events.filter(pc.invert(pc.is_in(events[DAY], pa.array(served, pa.date32()))))
    most = ROWS_PER_DAY["features"]
    features = [
        _features_as_of(connection, day, rows.slice(0, most), names) for day, rows in _by_day(came).items()
    ]
    own = {
        "users": [drift_rows.described_users(connection, came, user_columns)],
        "features": [table.drop_columns("user_id") for table in features],
    }
    sides: dict[Side, pa.Table] = {
        side: pa.concat_tables([rows, *own[side]]).combine_chunks() for side, rows in logged.items()
    }
    if not names:
        del sides["features"]
    sides["choices"] = drift_rows.choices(connection, events)
    return sides


def _by_day(rows: pa.Table) -> dict[date, pa.Table]:
    days = pc.unique(rows[DAY]).sort().to_pylist()
    return {day: rows.filter(pc.equal(rows[DAY], pa.scalar(day, pa.date32()))) for day in days}


def _features_as_of(
    connection: DuckDBPyConnection, day: date, came: pa.Table, names: Sequence[str]
) -> pa.Table:
    """Return the features, as of the start of a day, of the users who came on it: `day`, `user_id`, ..."""
    came = came.select(["user_id"])
    if names:
        import ibis

        from tastemaker.features.users import user_features

        backend = ibis.duckdb.from_connection(connection)
        events, users, items = (backend.table(name) for name in ("events", "users", "items"))
        midnight = int(datetime.combine(day, time(), UTC).timestamp())
        wanted = backend.compile(user_features(events, users, items, midnight))
        connection.register("came", came)
        columns = "".join(f", f.{name}::DOUBLE AS {name}" for name in names)
        sql = f"SELECT came.user_id{columns} FROM came LEFT JOIN ({wanted}) AS f USING (user_id)"  # noqa: S608
        came = connection.sql(sql).to_arrow_table()
        connection.unregister("came")
    return came.add_column(0, DAY, pa.repeat(pa.scalar(day, pa.date32()), len(came)))


def _lists(connection: DuckDBPyConnection, loaded: LoadedVersion, days: Sequence[date]) -> pa.Table:
    """Return what a version shows to the users who came on some days, as rows of LIST_ROWS.

    They have no score: it depends on the history of the user, which has the events of that day.
    """
    from tastemaker.api.schemas import Request
    from tastemaker.serving.inference.predictor import InferenceRequest, Predictor

    events, names = drift_rows.events_of(connection, days), loaded.model.capabilities.user_features
    came = [(day, rows.slice(0, ROWS_PER_DAY["lists"])) for day, rows in _by_day(events).items()]
    end = datetime.fromtimestamp(loaded.manifest.window.end, UTC).date()
    all_users = pa.concat_tables([rows for _, rows in came])
    given = _by_user(_features_as_of(connection, end, all_users, names))
    predictor = Predictor(loaded, features=lambda ids: np.array([given[each] for each in ids], np.float32))
    now = loaded.manifest.created_at.timestamp()
    asks = [
        (day, InferenceRequest(Request(user_id, LIST_LENGTH), f"{day.toordinal() * 1_000 + row:032x}", now))
        for day, rows in came
        for row, user_id in enumerate(rows["user_id"].to_pylist())
    ]
    found: list[dict[str, Any]] = []
    for start in range(0, len(asks), _BATCH):
        batch = asks[start : start + _BATCH]
        results = predictor.recommend([ask for _, ask in batch])
        for (day, _), result in zip(batch, results, strict=True):
            if result.answer.stage == "model":
                found += [{DAY: day, "item_id": item.item_id} for item in result.answer.items]
    return pa.Table.from_pylist(found, schema=drift_rows.LIST_ROWS)


def _by_user(features: pa.Table) -> dict[str, Float32]:
    values = [features[name].to_numpy() for name in features.column_names[2:]]
    table = np.stack(values, axis=1) if values else np.empty((len(features), 0))
    return dict(zip(features["user_id"].to_pylist(), table.astype(np.float32), strict=True))


def _popularity(loaded: LoadedVersion) -> pa.Table:
    """Return the items that anyone had in the training data, with their popularity in per cent."""
    history = loaded.snapshot.history
    users = np.bincount(history.items, minlength=len(loaded.snapshot.item_ids))
    known = np.flatnonzero(users)
    below = np.searchsorted(np.sort(users[known]), users[known])
    percent = 100 * below / max(len(known) - 1, 1)
    return pa.table({"item_id": loaded.snapshot.item_ids.decode(known), "popularity_percent": percent})
