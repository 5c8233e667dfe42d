"""The table `trainings`: one row per run and model, from the start of the backtest to the version.

A run that is killed leaves the outcome "running". While a model is trained, the run holds the model's lock,
which the operating system releases when the run dies: a row without a holder is one of a killed run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, RowMapping, select, update

from tastemaker.storage.tables import trainings
from tastemaker.storage.upserts import upsert
from tastemaker.util.file_lock import file_lock

RUNNING, EVALUATED, REGISTERED = "running", "evaluated", "registered"
UNCHANGED, FAILED, KILLED = "unchanged", "failed", "killed"
FIRST, REQUESTED = "first", "requested"
KILLED_TEXT = "the run was killed, or its machine restarted"


class Reason(NamedTuple):
    """Why a model is trained."""

    reason: str
    """new_data, changed_code, changed_config, stale, drift, requested, first or backfill."""
    detail: str


@dataclass(frozen=True)
class Cost:
    """What one or several steps of a training cost."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int | None = None
    """Largest resident memory; None where nothing was fitted."""

    def plus(self, other: Cost) -> Cost:
        """Return the cost of this step and another one after it."""
        peaks = [peak for peak in (self.peak_bytes, other.peak_bytes) if peak is not None]
        return Cost(
            self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds, max(peaks, default=None)
        )


class Need(NamedTuple):
    """The size of a training before it starts."""

    events: int
    recipe: str | None
    """Digest of the model's code and config; None if the config is wrong."""
    estimated_bytes: int | None
    limit_bytes: int


@dataclass(frozen=True)
class Training:
    """A recorded training; the fields are the columns of the table."""

    run_id: str
    model: str
    problem: str
    reasons: tuple[Reason, ...]
    outcome: str
    version_id: str | None
    problem_text: str | None
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    cpu_seconds: float | None
    peak_bytes: int | None
    estimated_bytes: int | None
    limit_bytes: int | None
    events: int | None
    recipe: str | None

    @property
    def cost(self) -> Cost:
        """What its steps cost until now."""
        return Cost(self.seconds or 0.0, self.cpu_seconds or 0.0, self.peak_bytes)


@dataclass(frozen=True)
class TrainingRecords:
    """The trainings of one problem."""

    engine: Engine
    artifacts: Path
    """The folder of the artifacts, which has the models' locks."""
    problem: str

    @contextmanager
    def training(self, run_id: str, model: str, reasons: tuple[Reason, ...], need: Need) -> Iterator[None]:
        """Record that a step of a training runs, as the only one of this model within the block.

        A run's second step continues the row of its first. The block calls `finish` at its end; one that is
        interrupted leaves the outcome "killed".

        Args:
            run_id: The orchestrator's run.
            model: The model's name.
            reasons: Why it is trained, as the run's tags say.
            need: Its events, and the memory that it is estimated to need and may use.

        Yields:
            Nothing, once the model's lock is held and the row is stored.
        """
        with file_lock(self._lock(model)):
            self._set_killed(model)
            begun = self.get(run_id, model)
            row = {
                "run_id": run_id,
                "model": model,
                "problem": self.problem,
                "reasons": [reason._asdict() for reason in reasons],
                "outcome": RUNNING,
                "started_at": datetime.now(UTC) if begun is None else begun.started_at,
                "ended_at": None,
                **need._asdict(),
            }
            with self.engine.begin() as connection:
                upsert(connection, trainings, [row])
            try:
                yield
            except BaseException:
                self._set_killed(model)
                raise

    def finish(
        self,
        run_id: str,
        model: str,
        outcome: str,
        cost: Cost,
        *,
        version_id: str | None = None,
        problem_text: str | None = None,
    ) -> None:
        """Record how a step ended, and add its cost to that of the run's earlier step.

        Args:
            run_id: The orchestrator's run.
            model: The model's name.
            outcome: evaluated, registered, unchanged or failed.
            cost: What the step cost.
            version_id: The version that was registered or found.
            problem_text: Why it failed; None: it did not.
        """
        begun = self.get(run_id, model)
        total = cost if begun is None else begun.cost.plus(cost)
        mine = trainings.c.run_id == run_id, trainings.c.model == model
        values = {
            "outcome": outcome,
            "version_id": version_id,
            "problem_text": problem_text,
            "ended_at": datetime.now(UTC),
            **asdict(total),
        }
        with self.engine.begin() as connection:
            connection.execute(update(trainings).where(*mine).values(values))

    def get(self, run_id: str, model: str) -> Training | None:
        """Return a run's training of a model; None if there is none.

        Args:
            run_id: The orchestrator's run.
            model: The model's name.
        """
        query = select(trainings).where(trainings.c.run_id == run_id, trainings.c.model == model)
        with self.engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else to_training(row)

    def of(self, model: str, limit: int) -> list[Training]:
        """Return the newest trainings of a model, newest first; those of killed runs are flagged before.

        Args:
            model: The model's name.
            limit: How many at the most.
        """
        self._look_for_killed(model)
        query = (
            select(trainings)
            .where(trainings.c.problem == self.problem, trainings.c.model == model)
            .order_by(trainings.c.started_at.desc(), trainings.c.run_id)
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return [to_training(row) for row in connection.execute(query).mappings()]

    def of_run(self, run_id: str) -> list[Training]:
        """Return the trainings of a run, by model."""
        query = select(trainings).where(trainings.c.run_id == run_id).order_by(trainings.c.model)
        with self.engine.connect() as connection:
            return [to_training(row) for row in connection.execute(query).mappings()]

    def flag_killed(self) -> None:
        """Flag the rows of killed runs of all models."""
        running = select(trainings.c.model).distinct().where(trainings.c.outcome == RUNNING)
        with self.engine.connect() as connection:
            models = connection.execute(running).scalars().all()
        for model in models:
            self._look_for_killed(model)

    def _look_for_killed(self, model: str) -> None:
        """Flag the rows of killed runs, unless a training of the model runs: it does so at its end."""
        if self._lock(model).exists():
            with suppress(BlockingIOError), file_lock(self._lock(model), wait=False):
                self._set_killed(model)

    def _lock(self, model: str) -> Path:
        return self.artifacts / model / ".training.lock"

    def _set_killed(self, model: str) -> None:
        """Flag the rows of killed runs; the caller holds the model's lock and trains nothing."""
        running = trainings.c.model == model, trainings.c.outcome == RUNNING
        values = {"outcome": KILLED, "problem_text": KILLED_TEXT}
        with self.engine.begin() as connection:
            connection.execute(update(trainings).where(*running).values(values))


def to_training(row: RowMapping) -> Training:
    """Return a row of the table as a training."""
    reasons = tuple(Reason(**reason) for reason in row["reasons"])
    return Training(**{**row, "reasons": reasons})
