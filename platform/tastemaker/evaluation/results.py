"""Backtests at rest: a row in the table `backtests`, and each user's metrics in an .npz by the artifacts."""

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
    """One model, fitted before the cut and judged after it."""

    id: str
    problem: str
    model: str
    config: dict[str, Any]
    data_hash: str
    train_start: datetime
    train_end: datetime
    """The cut: where training ends. The test period starts there, unless a stale model was judged."""
    test_end: datetime
    metrics: dict[str, Interval]
    users_path: str
    """Relative to the artifacts folder."""
    users: int
    """Users judged."""
    train_seconds: float
    score_seconds: float
    """Inside the model's `recommend`, all users."""
    artifact_bytes: int
    created_at: datetime


@dataclass(frozen=True, eq=False)
class UserResults:
    """What `users_path` holds."""

    k: int
    """The length of the judged lists."""
    user_keys: NDArray[np.uint64]
    """uint64[n]: a hash of each judged user's id."""
    values: dict[str, Float64]
    """Metric -> float64[n]."""
    user_slices: dict[str, NDArray[np.str_]] = field(default_factory=dict)
    """Dimension -> str[n], each user's slice of it."""
    by_items: dict[str, dict[str, Float64]] = field(default_factory=dict)
    """Slice of the items -> metric -> float64[n], NaN for users without a relevant item in it."""
    lists: NDArray[np.int32] | None = None
    """int32[n, k]: the lists, so that other slices need no model; None if an earlier release stored this."""
    slices_digest: str = ""
    """Which slices these are: `Split.slices_digest`."""


def get(engine: Engine, backtest_id: str) -> Backtest | None:
    """One backtest by its id."""
    with engine.connect() as connection:
        row = connection.execute(select(backtests).where(backtests.c.id == backtest_id)).mappings().first()
    return None if row is None else _from_row(row)


def newest(engine: Engine, problem: str) -> list[Backtest]:
    """Each model's newest listed backtest on the data that the problem was last judged on, by model name.

    Backtests on other data are left out: their figures can't be compared.
    """
    mine = select(backtests).where(backtests.c.problem == problem, backtests.c.listed_at.is_not(None))
    order = backtests.c.listed_at.desc(), backtests.c.id
    with engine.connect() as connection:
        last = connection.execute(mine.order_by(*order).limit(1)).mappings().first()
        if last is None:
            return []
        same_data = mine.where(backtests.c.data_hash == last["data_hash"]).order_by(*order)
        rows = connection.execute(same_data).mappings().all()
    return _one_a_model(rows)


def listed(engine: Engine, problem: str, data_hash: str) -> list[Backtest]:
    """Each model's newest listed backtest on this data, by model name."""
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
        return _one_a_model(connection.execute(query).mappings().all())


def _one_a_model(rows: Iterable[RowMapping]) -> list[Backtest]:
    by_model: dict[str, Backtest] = {}
    for row in rows:
        by_model.setdefault(row["model"], _from_row(row))
    return [by_model[model] for model in sorted(by_model)]


def problems(engine: Engine) -> list[str]:
    """The names of all problems with a backtest."""
    names = select(backtests.c.problem).distinct().order_by(backtests.c.problem)
    with engine.connect() as connection:
        return list(connection.execute(names).scalars())


def put(engine: Engine, backtest: Backtest, *, listed: bool = True) -> None:
    """Insert the row, or replace the row of the same id. `listed`: it is the model's own figure."""
    row = asdict(backtest) | ({"listed_at": backtest.created_at} if listed else {})
    row["metrics"] = {name: to_json(interval) for name, interval in backtest.metrics.items()}
    same = backtests.c.id == backtest.id
    with engine.begin() as connection:
        if not connection.execute(update(backtests).where(same).values(row)).rowcount:
            connection.execute(insert(backtests).values(row))


def list_again(engine: Engine, backtest_id: str) -> None:
    """A stored backtest is the model's own figure from now on."""
    stored = update(backtests).where(backtests.c.id == backtest_id)
    with engine.begin() as connection:
        connection.execute(stored.values(listed_at=datetime.now(UTC)))


def save_users(path: Path, results: UserResults) -> None:
    """Write an .npz that appears whole or not at all."""
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
    """Turn what the operating system refuses, such as a full disk, into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{what} can't be saved in {folder}: {error.strerror or error}",
            fix="free some space there, or set TASTEMAKER_HOME to a folder that has it",
        ) from error


def load_users(artifacts: Path, backtest: Backtest) -> UserResults:
    """Each judged user's metrics. Raises ArtifactError if the file is missing or malformed."""
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
            fix="judge the models again: `tastemaker run`",
        ) from error


def _named(file: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): file[name] for name in file if name.startswith(prefix)}


def compare(artifacts: Path, one: Backtest, other: Backtest, metric: str) -> Difference:
    """How much more `one` reaches than `other`, per user. Raises ArtifactError if they judged other users."""
    first, second = load_users(artifacts, one), load_users(artifacts, other)
    if not np.array_equal(first.user_keys, second.user_keys):
        raise ArtifactError(
            f"{one.model} and {other.model} were judged on different users",
            fix="judge both on the same split",
        )
    return paired_difference(first.values[metric], second.values[metric])


def to_json(figures: Interval | Difference) -> dict[str, float | None]:
    """NaN, where there is no interval, is no JSON."""
    found = {name: None if np.isnan(value) else value for name, value in figures._asdict().items()}
    if isinstance(figures, Interval) and np.isnan(figures.low):
        found |= {"users": figures.users, "varied": figures.varied}  # why there is none
    return found


def from_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they were; always the same NaN, so that equal intervals are equal."""
    return {name: math.nan if value is None else value for name, value in figures.items()}


def _from_row(row: RowMapping) -> Backtest:
    values = dict(row)
    del values["listed_at"]
    values["metrics"] = {name: Interval(**from_json(interval)) for name, interval in row["metrics"].items()}
    for name in ("train_start", "train_end", "test_end", "created_at"):  # SQLite forgets the zone
        values[name] = row[name].replace(tzinfo=UTC) if row[name].tzinfo is None else row[name]
    return Backtest(**values)
