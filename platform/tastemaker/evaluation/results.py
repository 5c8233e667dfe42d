"""Stored backtests: a row in the table `backtests`, and each user's metrics in an .npz file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, RowMapping, insert, select, update

from tastemaker.errors import ArtifactError
from tastemaker.stats.bootstrap import Difference, Interval, paired_difference
from tastemaker.storage.tables import backtests
from tastemaker.util.atomic_files import atomic_write

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Backtest:
    """Result of one model, fitted before the cutoff and evaluated after it."""

    id: str
    problem: str
    model: str
    config: dict[str, Any]
    data_hash: str
    train_start: datetime
    train_end: datetime
    """The cutoff, where training ends. The test period starts there, unless a stale model was evaluated."""
    test_end: datetime
    metrics: dict[str, Interval]
    users_path: str
    """Relative to the artifacts folder."""
    users: int
    """Number of users evaluated."""
    train_seconds: float
    score_seconds: float
    """Seconds inside the model's `recommend`, all users."""
    artifact_bytes: int
    created_at: datetime


@dataclass(frozen=True, eq=False)
class UserResults:
    """Each user's metrics of one backtest: the content of the file `Backtest.users_path`."""

    k: int
    """The length of the evaluated lists."""
    user_keys: NDArray[np.uint64]
    """uint64[n]: a hash of each evaluated user's id."""
    values: dict[str, Float64]
    """float64[n] by metric."""
    user_slices: dict[str, NDArray[np.str_]] = field(default_factory=dict)
    """str[n] by dimension: each user's slice."""
    by_items: dict[str, dict[str, Float64]] = field(default_factory=dict)
    """float64[n] by slice of the items and metric; NaN for users without a relevant item in the slice."""
    lists: NDArray[np.int32] | None = None
    """int32[n, k]: the lists, so that other slices need no fit; None if an earlier release stored this."""
    slices_digest: str = ""
    """Hash of the slices: `Split.slices_digest`."""


def get(engine: Engine, backtest_id: str) -> Backtest | None:
    """Return a backtest by its id; None if it is not stored.

    Args:
        engine: Of the metadata database.
        backtest_id: The backtest's id.
    """
    with engine.connect() as connection:
        row = connection.execute(select(backtests).where(backtests.c.id == backtest_id)).mappings().first()
    return None if row is None else _from_row(row)


def newest(engine: Engine, problem: str) -> list[Backtest]:
    """Return each model's newest listed backtest on the data that was last evaluated, by model name.

    Backtests on other data are left out: their figures can't be compared.

    Args:
        engine: Of the metadata database.
        problem: The problem's name.
    """
    mine = select(backtests).where(backtests.c.problem == problem, backtests.c.listed_at.is_not(None))
    order = backtests.c.listed_at.desc(), backtests.c.id
    with engine.connect() as connection:
        last = connection.execute(mine.order_by(*order).limit(1)).mappings().first()
        if last is None:
            return []
        same_data = mine.where(backtests.c.data_hash == last["data_hash"]).order_by(*order)
        rows = connection.execute(same_data).mappings().all()
    return _newest_per_model(rows)


def listed(engine: Engine, problem: str, data_hash: str) -> list[Backtest]:
    """Return each model's newest listed backtest on the data with this hash, by model name.

    Args:
        engine: Of the metadata database.
        problem: The problem's name.
        data_hash: Hash of the split's data, as in `Backtest.data_hash`.
    """
    query = (
        select(backtests)
        .where(
            backtests.c.problem == problem,
            backtests.c.data_hash == data_hash,
            backtests.c.listed_at.is_not(None),
        )
        .order_by(backtests.c.listed_at.desc(), backtests.c.id)
    )
    with engine.connect() as connection:
        return _newest_per_model(connection.execute(query).mappings().all())


def _newest_per_model(rows: Iterable[RowMapping]) -> list[Backtest]:
    by_model: dict[str, Backtest] = {}
    for row in rows:
        by_model.setdefault(row["model"], _from_row(row))
    return [by_model[model] for model in sorted(by_model)]


def problems(engine: Engine) -> list[str]:
    """Return the names of all problems with a backtest."""
    names = select(backtests.c.problem).distinct().order_by(backtests.c.problem)
    with engine.connect() as connection:
        return list(connection.execute(names).scalars())


def put(engine: Engine, backtest: Backtest, *, listed: bool = True) -> None:
    """Store a backtest, replacing the one of the same id.

    Args:
        engine: The metadata database.
        backtest: What to store.
        listed: Whether the leaderboard shows it as the model's.
    """
    row = asdict(backtest) | ({"listed_at": backtest.created_at} if listed else {})
    row["metrics"] = {name: to_json(interval) for name, interval in backtest.metrics.items()}
    same = backtests.c.id == backtest.id
    with engine.begin() as connection:
        if not connection.execute(update(backtests).where(same).values(row)).rowcount:
            connection.execute(insert(backtests).values(row))


def mark_as_listed(engine: Engine, backtest_id: str) -> None:
    """Make a stored backtest the one that the leaderboard shows of its model.

    Args:
        engine: Of the metadata database.
        backtest_id: The backtest's id; nothing happens if it is not stored.
    """
    stored = update(backtests).where(backtests.c.id == backtest_id)
    with engine.begin() as connection:
        connection.execute(stored.values(listed_at=datetime.now(UTC)))


def save_users(path: Path, results: UserResults) -> None:
    """Write the users' metrics as an .npz file, atomically.

    Args:
        path: The file, `Backtest.users_path` below the artifacts folder; an older one is replaced.
        results: What to write.

    Raises:
        ArtifactError: The file can't be written.
    """
    arrays: dict[str, Any] = {f"metric.{name}": values for name, values in results.values.items()}
    arrays |= {f"users.{dimension}": slices for dimension, slices in results.user_slices.items()}
    for name, metrics in results.by_items.items():
        arrays |= {f"items.{name}.{metric}": values for metric, values in metrics.items()}
    if results.lists is not None:
        arrays["lists"] = results.lists
    arrays["slices_digest"] = results.slices_digest
    with (
        writing("the users' metrics", path.parent),
        atomic_write(path) as partial,
        partial.open("wb") as file,
    ):
        np.savez_compressed(file, k=results.k, user_keys=results.user_keys, **arrays)


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Turn errors of the operating system, such as a full disk, into an ArtifactError that names the fix.

    Args:
        what: What is saved, for the error, such as `the users' metrics`.
        folder: Where it is saved, for the error.

    Yields:
        Nothing: the block writes.

    Raises:
        ArtifactError: The block raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{what} can't be saved in {folder}: {error.strerror or error}",
            fix="free some space there, or set TASTEMAKER_HOME to a folder that has it",
        ) from error


def load_users(artifacts: Path, backtest: Backtest) -> UserResults:
    """Return each user's metrics of a backtest.

    Args:
        artifacts: The artifacts folder, to which `Backtest.users_path` is relative.
        backtest: The backtest, which names the file.

    Raises:
        ArtifactError: The file is missing or malformed.
    """
    path = artifacts / backtest.users_path
    try:
        # NumPy leaves a file open that it can't read.
        with path.open("rb") as stored, np.load(stored, allow_pickle=False) as file:
            by_items: dict[str, dict[str, Float64]] = {}
            for name, values in _named(file, "items.").items():
                one, metric = name.split(".")
                by_items.setdefault(one, {})[metric] = values
            return UserResults(
                int(file["k"]),
                file["user_keys"],
                _named(file, "metric."),
                _named(file, "users."),
                by_items,
                file.get("lists"),
                str(file.get("slices_digest", "")),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path}, the users' metrics of {backtest.model}, can't be read: {error}",
            fix="evaluate the models again: `tastemaker run`",
        ) from error


def _named(file: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): file[name] for name in file if name.startswith(prefix)}


def compare(artifacts: Path, one: Backtest, other: Backtest, metric: str) -> Difference:
    """Return the paired difference `one` - `other` in a metric, per user.

    Args:
        artifacts: The folder of the backtests' arrays.
        one: The backtest whose figure is taken.
        other: The backtest whose figure is subtracted, on the same users.
        metric: The name of the metric.

    Raises:
        ArtifactError: They were evaluated on different users.
    """
    first, second = load_users(artifacts, one), load_users(artifacts, other)
    if not np.array_equal(first.user_keys, second.user_keys):
        raise ArtifactError(
            f"{one.model} and {other.model} were evaluated on different users",
            fix="evaluate both on the same split",
        )
    return paired_difference(first.values[metric], second.values[metric])


def to_json(figures: Interval | Difference) -> dict[str, float | None]:
    """Return the fields as JSON has them: null for NaN, where there is no interval."""
    found = {name: None if np.isnan(value) else value for name, value in figures._asdict().items()}
    if isinstance(figures, Interval) and np.isnan(figures.low):
        found |= {"users": figures.users, "varied": figures.varied}  # why there is none
    return found


def from_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that `to_json` wrote, with the one object `math.nan` for null."""
    return {name: math.nan if value is None else value for name, value in figures.items()}


def _from_row(row: RowMapping) -> Backtest:
    values = dict(row)
    del values["listed_at"]
    values["metrics"] = {name: Interval(**from_json(interval)) for name, interval in row["metrics"].items()}
    for name in ("train_start", "train_end", "test_end", "created_at"):  # SQLite forgets the zone
        values[name] = row[name].replace(tzinfo=UTC) if row[name].tzinfo is None else row[name]
    return Backtest(**values)
