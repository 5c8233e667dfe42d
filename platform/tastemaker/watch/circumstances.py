"""What is known about a service when an alert fires: the version that it serves, and its lists.

Each part is read within a deadline and left out if it can't be read: a message goes out in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Literal, NamedTuple, TypeVar

from sqlalchemy import Engine

from tastemaker.alerting.expression import Expression, Values
from tastemaker.alerting.expressions import Aggregate, Gauge, Increase
from tastemaker.alerting.series import Labels, metric
from tastemaker.notifications.deadline import call_within
from tastemaker.registry import deployment
from tastemaker.registry.champion import current, newest_of, predecessors
from tastemaker.settings import Settings

PART_SECONDS = 1.5
"""The deadline of each part."""
MOST_EXAMPLES = 3

SAME_DEPLOYMENT = timedelta(seconds=60)
"""A promotion writes the deployment file, shortly after its own row."""

logger = logging.getLogger("tastemaker.watch")
T = TypeVar("T")

SERVED = Aggregate(
    "max", ("job", "instance", "model", "version"), Gauge(metric("tastemaker_served_version_info"))
)
"""Which versions are served."""
BY_REASON = {
    seconds: Aggregate(
        "sum",
        ("job", "instance", "model", "stage", "reason"),
        Increase(metric("tastemaker_answers_total"), seconds),
    )
    for seconds in (60.0, 900.0)
}
"""Lists by reason: of the last minute, and of 15 minutes where in the last one all are the model's."""

Evaluate = Callable[[Expression], Values]
FindExamples = Callable[[str, int], Sequence[str]]
"""Returns the ids of the newest logged requests that match a query, at most so many."""


class ServedVersion(NamedTuple):
    """A version that a service serves, and how it came to that."""

    model: str
    version: str
    action: Literal["promoted", "rolled back to", "deployed"] | None
    """None if it is not known."""
    at: datetime | None
    can_roll_back: bool
    """Whether it is the champion, was promoted, and has a predecessor."""


class ListReason(NamedTuple):
    """Lists that are not the model's, for one reason."""

    reason: str
    stage: str
    """What chose the first items instead."""
    lists: float


@dataclass(frozen=True)
class Circumstances:
    """What is known when an alert fires."""

    served: ServedVersion | None = None
    """The served version that was deployed last; None if it is not known."""
    reasons: tuple[ListReason, ...] = ()
    """Most frequent first."""
    all_lists: float = 0.0
    """Lists in the same window."""
    window_seconds: float = 0.0


class CircumstancesReader:
    """Reads the scraped metrics, the registry and the log."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        evaluate: Evaluate,
        find_examples: FindExamples,
        *,
        part_seconds: float = PART_SECONDS,
    ) -> None:
        """Prepare to read.

        Args:
            settings: Name the artifacts.
            engine: The metadata database.
            evaluate: Evaluates an expression over what was scraped.
            find_examples: Searches the log.
            part_seconds: Seconds after which a part that was not read is left out.
        """
        self._settings, self._engine = settings, engine
        self._evaluate, self._find_examples = evaluate, find_examples
        self._part_seconds = part_seconds
        self._busy = {"registry": Lock(), "log": Lock()}

    def read(self, labels: Mapping[str, str], started_at: datetime) -> Circumstances:
        """Return what is known about an alert.

        Args:
            labels: The alert's labels: what is read agrees with those that both have.
            started_at: When it began.
        """
        reasons, all_lists, window = _reasons(self._evaluate, labels)
        versions = _served(self._evaluate, labels)
        served = self._within("registry", lambda: self._deployed(versions, labels, started_at), None)
        return Circumstances(served, reasons, all_lists, window)

    def examples(self, terms: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of up to three requests that match all terms; none if the log can't be read."""
        query = " ".join(terms)
        return (
            self._within("log", lambda: tuple(self._find_examples(query, MOST_EXAMPLES)), ()) if terms else ()
        )

    def _within(self, part: Literal["registry", "log"], work: Callable[[], T], missing: T) -> T:
        """Return what `work` returns; `missing` if it fails, takes too long, or an earlier one still does."""
        busy = self._busy[part]
        if not busy.acquire(blocking=False):
            return missing

        def guarded() -> T:
            try:
                return work()
            finally:
                busy.release()

        try:
            return call_within(self._part_seconds, guarded, lambda: None)
        except Exception as error:  # of a database, a file or a driver: the message matters more
            logger.warning("an alert's message lacks what the %s knows: %s", part, type(error).__name__)
            return missing

    def _deployed(
        self, versions: Sequence[tuple[str, str]], labels: Mapping[str, str], started_at: datetime
    ) -> ServedVersion | None:
        """Return the version that was deployed last."""
        found = [self._deployment(model, version, started_at) for model, version in versions]
        if not found and (model := labels.get("model")):
            file = deployment.read(deployment.path_of(self._settings.artifacts, model))
            found = [] if file is None else [self._deployment(model, file.version, started_at)]
        earliest = datetime.min.replace(tzinfo=UTC)
        return max(found, key=lambda one: one.at or earliest, default=None)

    def _deployment(self, model: str, version: str, before: datetime) -> ServedVersion:
        promotion = newest_of(self._engine, version, before=before)
        file = deployment.read(deployment.path_of(self._settings.artifacts, model))
        at = None if file is None or file.version != version else datetime.fromtimestamp(file.at, UTC)
        is_own = promotion is None or at is None or at > promotion.at + SAME_DEPLOYMENT
        if at is not None and at <= before and is_own:
            return ServedVersion(model, version, "deployed", at, False)
        if promotion is None:
            return ServedVersion(model, version, None, None, False)
        is_champion = current(self._engine, promotion.problem) == version
        can_roll_back = is_champion and bool(predecessors(self._engine, promotion.problem))
        return ServedVersion(
            model,
            version,
            "rolled back to" if promotion.action == "rollback" else "promoted",
            promotion.at,
            can_roll_back and promotion.action == "promote",
        )


def _matching(found: Mapping[Labels, float], labels: Mapping[str, str]) -> dict[Labels, float]:
    """Return the values whose labels agree with an alert's, where both have them."""
    return {
        theirs: value
        for theirs, value in found.items()
        if all(labels.get(name, text) == text for name, text in theirs)
    }


def _served(evaluate: Evaluate, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the models and versions that the alert's services serve."""
    found = _matching(evaluate(SERVED), labels)
    pairs = [dict(theirs) for theirs, value in found.items() if value == 1]
    return sorted({(one["model"], one["version"]) for one in pairs if {"model", "version"} <= one.keys()})


def _reasons(evaluate: Evaluate, labels: Mapping[str, str]) -> tuple[tuple[ListReason, ...], float, float]:
    """Return why lists are not the model's, the number of all lists, and in how many seconds."""
    for seconds, counted in BY_REASON.items():
        totals: dict[tuple[str, str], float] = {}
        found = _matching(evaluate(counted), labels)
        for theirs, lists in found.items():
            named = dict(theirs)
            if named.get("reason", "none") != "none" and lists >= 0.5:
                place = named["reason"], named.get("stage", "")
                totals[place] = totals.get(place, 0.0) + lists
        if totals:
            ordered = sorted(totals.items(), key=lambda one: (-one[1], one[0]))
            reasons = tuple(ListReason(reason, stage, lists) for (reason, stage), lists in ordered)
            return reasons, sum(found.values()), seconds
    return (), 0.0, 0.0
