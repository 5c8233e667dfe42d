"""`load`: read a table, a file or a home folder as a validated data set."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tastemaker.data.ingest import land
from tastemaker.data.lake import Lake
from tastemaker.data.sources import Source, open_source
from tastemaker.data.validation.gate import Gate, GateCounts
from tastemaker.data.validation.publishing import validate_and_publish
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import GateError, ProblemError, SourceError, in_words
from tastemaker.notebook.display import Displayable, days
from tastemaker.notebook.frames import frame_source, is_frame
from tastemaker.plugins.installed import installed
from tastemaker.problem import EventReward, Objective, ProblemSpec, Slices, load_problem
from tastemaker.settings import Settings, SourceSettings, load_settings
from tastemaker.storage.engine import open_engine

Problem = ProblemSpec | str | Path
SIMULATED = "simulated"
GATES = "tastemaker.gates"
"""Entry point group of functions that create a validation gate for a source."""


@dataclass(frozen=True, eq=False, repr=False)
class Data(Displayable):
    """Validated events, as the problem counts them."""

    dataset: Dataset
    gate: GateCounts | None
    """Counts of accepted and quarantined rows; None for data of a home folder."""
    warnings: tuple[str, ...] = ()
    """What may have been read differently from what was meant."""

    @property
    def title(self) -> str:
        events = self.dataset.events
        users, items = len(self.dataset.user_ids), len(self.dataset.item_ids)
        return f"{len(events):,} events of {users:,} users with {items:,} items"

    def facts(self) -> dict[str, str]:
        problem, times = self.dataset.problem, self.dataset.events.times
        weights = ", ".join(f"{kind} {weight:g}" for kind, weight in problem.event_weights.items())
        facts = {
            "problem": problem.name,
            "days": days(int(times[0]), self.dataset.end),
            "event weights": weights,
            "evaluated by": f"{problem.metric} of lists of {problem.placement.k}",
        }
        if self.gate is not None:
            reasons = ", ".join(f"{rule} {n:,}" for rule, n in self.gate.quarantined.items())
            facts["rows read"] = f"{self.gate.read:,}"
            facts["in quarantine"] = f"{self.gate.refused:,}" + (f" ({reasons})" if reasons else "")
        if self.warnings:
            facts["warnings"] = "; ".join(self.warnings)
        return facts


def load(
    events: Any,
    *,
    columns: Mapping[str, str | int] | None = None,
    items: Any = None,
    users: Any = None,
    item_columns: Iterable[str] = (),
    user_columns: Iterable[str] = (),
    timezone: str = "UTC",
    encoding: str | None = None,
    delimiter: str | None = None,
    time_format: str | None = None,
    decimal: str | None = None,
    ids: str = "canonical",
    missing_ids: Iterable[str] | None = None,
    problem: Problem | None = None,
    source: str | None = None,
    **options: Any,
) -> Data:
    """Read and validate events.

    Args:
        events: A table (pandas, polars, pyarrow), the path of a file (CSV, TSV, JSON, Parquet, XLSX, also
            compressed), a home folder that `tastemaker run` filled, or "simulated".
        columns: The table's column by canonical column, such as `{"user_id": "customer"}`.
        items: A table or a path of items.
        users: A table or a path of users.
        item_columns: Custom columns of items to keep for models that read content, such as `["brand"]`.
        user_columns: Custom columns of users to keep for models and slices, such as `["segment"]`.
        timezone: The time zone of timestamps without one.
        encoding: As in tastemaker.toml under [source]; detected if None, as the following three are.
        delimiter: As in tastemaker.toml.
        time_format: As in tastemaker.toml.
        decimal: As in tastemaker.toml.
        ids: As in tastemaker.toml.
        missing_ids: As in tastemaker.toml.
        problem: A problem file or a ProblemSpec; None if every event counts 1, whatever its type, with a
            slice per value of `user_columns`.
        source: The source that reads a path, such as "online_retail".
        options: Options of the source, such as `n_users=500` of the simulated shop.

    Returns:
        The valid events as the problem counts them, with the counts of rows in quarantine and the warnings.

    Raises:
        SourceError: An argument has a wrong type, or a table in memory has a source that reads files.
        TastemakerError: The data can't be read or mapped, or no row is valid.
    """
    if not (is_frame(events) or isinstance(events, (str, Path))):
        raise SourceError(
            f"events are a {type(events).__name__}, must be a table or a path",
            fix="pass a pandas, polars or pyarrow table, or the path of a CSV or Parquet file",
        )
    for name, table in (("items", items), ("users", users)):
        if not (table is None or is_frame(table) or isinstance(table, (str, Path))):
            raise SourceError(
                f"{name} are a {type(table).__name__}, must be a table or a path",
                fix="pass a pandas, polars or pyarrow table, or the path of a file",
            )
    if not (columns is None or isinstance(columns, Mapping)):
        raise SourceError(
            f"columns is {columns!r}, must be a mapping", fix='pass columns={"user_id": "customer"}'
        )
    tables = {"the table of events": events, "the table of items": items, "the table of users": users}
    frames = {name: given for name, given in tables.items() if is_frame(given)}
    named_events, named_items, named_users = (
        given if given is None else name if name in frames else str(given) for name, given in tables.items()
    )
    simulated = named_events == SIMULATED
    forms = {"encoding": encoding, "delimiter": delimiter, "time_format": time_format, "decimal": decimal}
    given: dict[str, Any] = {name: value for name, value in forms.items() if value is not None}
    if missing_ids is not None:
        given["missing_ids"] = missing_ids
    if not is_frame(events) and not simulated and Path(events).is_dir():
        ways = {"columns": columns, "items": items, "users": users}
        ways |= {"item_columns": item_columns, "user_columns": user_columns}
        ways |= {
            "timezone": timezone != "UTC",
            "ids": ids != "canonical",
            "source": source,
            **given,
            **options,
        }
        _refuse_given(str(events), [name for name, value in ways.items() if is_frame(value) or value])
        return _from_home(Path(events), problem)
    if frames and all(each is None or is_frame(each) for each in tables.values()):
        text = [name for name in ("encoding", "delimiter") if name in given]
        _refuse_given("a table in memory", text)
    settings = _settings(
        name=source or (SIMULATED if simulated else "table"),
        path=None if simulated or is_frame(events) else Path(events),
        items=named_items,
        users=named_users,
        columns={name: str(own) if isinstance(own, int) else own for name, own in (columns or {}).items()},
        item_columns=_names(item_columns),
        user_columns=_names(user_columns),
        timezone=timezone,
        ids=ids,
        options=options,
        **given,
    )
    if simulated and problem is None:
        problem = Path(str(files("tastemaker.simulator") / "problem.yaml"))
    if not frames:
        return _validated(open_source(settings), problem, settings.user_columns)
    if settings.name != "table":
        raise SourceError(
            f"a table was given with source={source!r}, which reads files", fix="leave source out"
        )
    return _validated(frame_source(settings, str(named_events), frames), problem, settings.user_columns)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _settings(**given: Any) -> SourceSettings:
    try:
        return SourceSettings(**given)
    except ValidationError as error:
        raise SourceError(
            f"load can't read this: {in_words(error)}", fix="give a value that is allowed"
        ) from error


def _refuse_given(what: str, names: Sequence[str]) -> None:
    """Raise SourceError for arguments that do not apply to these data."""
    if names:
        raise SourceError(
            f"{', '.join(names)}: {what} is read without such arguments, which would have no effect",
            fix=f"leave {'it' if len(names) == 1 else 'them'} out",
        )


def _from_home(home: Path, problem: Problem | None) -> Data:
    if not (home / "lake" / "events").is_dir():
        raise SourceError(
            f"{home} holds no events: it has no folder lake/events",
            fix=f"fill it with TASTEMAKER_HOME={home} tastemaker run, or name a file",
        )
    settings = load_settings(home=home)
    own = home / "problem.yaml"
    chosen = problem or (own if own.exists() else settings.problem)
    return Data(_dataset(settings, Lake(settings.lake), chosen), None)


def _validated(source: Source, problem: Problem | None, user_columns: tuple[str, ...]) -> Data:
    """Ingest and validate in a temporary home folder, which is kept until the process ends."""
    home = Path(tempfile.mkdtemp(dir=_scratch()))
    settings = load_settings(home=home, database_url=None)
    lake, chunk_rows = Lake(settings.lake), settings.chunk_rows
    land(source, lake, chunk_rows=chunk_rows)
    engine = open_engine(settings.metadata_url)
    try:
        published = validate_and_publish(source.name, lake, _gate(source.name), engine, chunk_rows=chunk_rows)
    finally:
        engine.dispose()
    read = [warning for reading in source.readings for warning in reading.warnings]
    return Data(
        _dataset(settings, lake, problem, user_columns), published.total, (*read, *published.warnings)
    )


def _dataset(
    settings: Settings, lake: Lake, problem: Problem | None, user_columns: tuple[str, ...] = ()
) -> Dataset:
    spec = _spec(problem, lake, user_columns)
    return Dataset.load(lake, spec, feature_root=settings.features, seed=settings.seed)


def _spec(given: Problem | None, lake: Lake, user_columns: tuple[str, ...]) -> ProblemSpec:
    """Return the given problem, or one for which every event counts 1, with slices by all columns."""
    if isinstance(given, ProblemSpec):
        return given
    if given is not None:
        if not isinstance(given, (str, Path)):
            raise ProblemError(
                f"problem is a {type(given).__name__}, must be a ProblemSpec or the path of a file",
                fix="pass ProblemSpec(**problem) for a dict, or write a file by `tastemaker frame`",
            )
        return load_problem(Path(given))
    with lake.connect() as connection:
        kinds = connection.execute("SELECT DISTINCT event_type FROM events ORDER BY 1").fetchall()
    rewards = {kind: EventReward() for (kind,) in kinds}
    return ProblemSpec(
        name="every event counts 1",
        objectives=(Objective(name="events", events=rewards),),
        slices=Slices(user_columns=(*Slices().user_columns, *user_columns)),
    )


def _gate(source: str) -> Gate:
    """Return the installed gate for a source's rows. Raises GateError if there is none."""
    found = installed(GATES)
    if not found:
        raise GateError("no validation gate is installed", fix="pip install 'tastemaker[pipelines]'")
    gate: Gate = found[0].entry.load()(source)
    return gate


@cache
def _scratch() -> Path:
    """Return a temporary folder that is deleted when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="tastemaker-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
