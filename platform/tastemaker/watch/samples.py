"""The scraped samples that the rules read, in memory.

A page is read line by line, and only lines of series that some rule reads are parsed, each series once: with
what a service exports that is a small part, and scraping costs a few per cent of a processor at most.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tastemaker.alerting.series import Labels, Series
from tastemaker.watch.reads import RAW_SECONDS, Kept

MOST_SERIES = 5_000
"""The most series of one target that are kept; further ones are dropped and counted."""
MOST_LINES = 100_000
"""The most lines of one page."""
COARSEN_SECONDS = 1_800.0
"""How often old samples are thinned out further."""
COMPACT_SECONDS = 60.0
"""How often samples that are too old are removed."""


class PageError(Exception):
    """A page that is not in Prometheus' text format, or too long."""


@dataclass
class StoredSeries:
    """A series that is kept for longer than RAW_SECONDS; its samples get further apart with their age."""

    name: str
    labels: Labels
    kept: Kept
    times: list[float] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    far: int = 0
    """Number of samples at the beginning that were read from the database."""
    thinned: int = 0
    """Number of samples after those that are already thinned out."""
    _coarsened_at: float = float("-inf")
    stored_at: float = float("-inf")
    """Time of the newest sample that was handed to the database."""

    def append(self, at: float, value: float | None) -> bool:
        """Add a sample, and return whether it is one of those that the database keeps.

        The database keeps the first sample of each span of `kept.spacing_seconds`, and the end of a series.

        Args:
            at: Seconds since 1970 UTC, later than that of the sample before.
            value: None if the page lacks the series: it ends, and further ends are not added.
        """
        if value is None and (not self.values or self.values[-1] is None):
            return False
        self.times.append(at)
        self.values.append(value)
        spacing = self.kept.spacing_seconds
        if value is not None and at // spacing == self.stored_at // spacing:
            return False
        self.stored_at = at
        return True

    def restore(self, samples: Collection[tuple[float, float | None]]) -> None:
        """Put samples of a former process, ascending in time, before those of this one."""
        until = self.times[self.far] if len(self.times) > self.far else float("inf")
        older = [(time, value) for time, value in samples if time < until]
        self.times[self.far : self.far] = [time for time, _ in older]
        self.values[self.far : self.far] = [value for _, value in older]
        self.thinned += len(older)

    def set_far(self, samples: Collection[tuple[float, float | None]]) -> None:
        """Replace the samples that were read from the database."""
        until = self.times[self.far] if len(self.times) > self.far else float("inf")
        older = [(time, value) for time, value in samples if time < until]
        self.times[: self.far] = [time for time, _ in older]
        self.values[: self.far] = [value for _, value in older]
        self.far = len(older)

    def compact(self, now: float) -> None:
        """Thin out what is older than RAW_SECONDS, and remove what is too old."""
        for age, spacing in reversed(self.kept.coarser):
            if now - self._coarsened_at >= COARSEN_SECONDS:
                stop = bisect_left(self.times, now - age, self.far, self.far + self.thinned)
                self.thinned -= self._thin(self.far, stop, spacing)
        if now - self._coarsened_at >= COARSEN_SECONDS:
            self._coarsened_at = now
        start = self.far + self.thinned
        stop = bisect_left(self.times, now - RAW_SECONDS, start)
        self.thinned += stop - start - self._thin(start, stop, self.kept.spacing_seconds)
        old = bisect_left(self.times, now - self.kept.memory_seconds, self.far) - self.far
        del self.times[self.far : self.far + old], self.values[self.far : self.far + old]
        self.thinned = max(0, self.thinned - old)

    def _thin(self, start: int, stop: int, spacing: float) -> int:
        """Keep the first sample in each span of seconds, and all ends, and return how many were removed."""
        before = self.times[start - 1] // spacing if start > self.far else None
        keep = []
        for at in range(start, stop):
            if (bucket := self.times[at] // spacing) != before or self.values[at] is None:
                keep.append(at)
                before = bucket
        self.times[start:stop] = [self.times[at] for at in keep]
        self.values[start:stop] = [self.values[at] for at in keep]
        return stop - start - len(keep)


@dataclass(frozen=True)
class ScrapeTarget:
    """Something whose metrics are read."""

    job: str
    instance: str

    def labels(self) -> dict[str, str]:
        """Return the labels that each of its series gets."""
        return {"job": self.job, "instance": self.instance}


StoredSample = tuple[str, Labels, float, float | None]
"""Metric, labels, time and value of a sample for the database."""


class TargetSamples:
    """The samples of one target."""

    def __init__(self, target: ScrapeTarget, kept: Mapping[str, Kept]) -> None:
        """Begin without samples.

        Args:
            target: Its job and instance become labels of each series.
            kept: Metric -> how its series are kept; other metrics are not read.
        """
        self.target, self._kept = target, kept
        self._times: list[float] = []
        self._raw: dict[str, tuple[str, Labels, list[float | None]]] = {}
        """Key -> metric, labels and values, as many as there are times."""
        self.stored: dict[str, StoredSeries] = {}
        self._dropped: set[str] = set()
        """Keys of series of a metric that is read, which no rule selects."""
        self._compacted_at = float("-inf")
        self.too_many = 0
        """Number of series beyond MOST_SERIES in the newest page."""
        self.is_changed = True
        """Whether a series was added or removed since it was set to False."""

    def append(self, page: str, at: float, *, is_up: bool = True) -> list[StoredSample]:
        """Add the samples of a page; series that it lacks end.

        Args:
            page: The page in Prometheus' text format; empty if the target did not answer.
            at: Seconds since 1970 UTC, later than that of the page before.
            is_up: The value of `up`.

        Returns:
            The samples that the database keeps.

        Raises:
            PageError: The page is not in that format, or too long. Nothing was added.
        """
        values = self._parsed(page)
        values[self._key_of_up()] = float(is_up)
        self._times.append(at)
        for key, (_, _, series) in self._raw.items():
            series.append(values.get(key))
        found = [
            (one.name, one.labels, at, values.get(key))
            for key, one in self.stored.items()
            if one.append(at, values.get(key))
        ]
        if at - self._compacted_at >= COMPACT_SECONDS:
            self._compact(at)
        return found

    def series(self) -> Iterable[tuple[str, Series]]:
        """Yield metric and series; they grow with each page."""
        for name, labels, values in self._raw.values():
            yield name, Series(labels, self._times, values)
        for one in self.stored.values():
            yield one.name, Series(one.labels, one.times, one.values)

    def stored_series(self, name: str, labels: Labels) -> StoredSeries | None:
        """Return the series that a sample of the database belongs to, which is added if it is new.

        Args:
            name: Name of the metric.
            labels: All labels, also the target's `job` and `instance`.

        Returns:
            The series in memory, to which the caller adds samples; None if no rule reads it that far back.
        """
        kept = self._kept.get(name)
        if kept is None or not kept.stored_seconds or not _is_selected(kept, labels):
            return None
        for one in self.stored.values():
            if one.name == name and one.labels == labels:
                return one
        key = f"{name}{_braced(labels - self.target.labels().items())}"
        self.stored[key] = StoredSeries(name, labels, kept)
        self.is_changed = True
        return self.stored[key]

    def _parsed(self, page: str) -> dict[str, float]:
        """Return key -> value of the series that are kept."""
        values: dict[str, float] = {}
        kept, raw, stored, dropped = self._kept, self._raw, self.stored, self._dropped
        self.too_many = 0
        lines = page.split("\n")
        if len(lines) > MOST_LINES:
            raise PageError(f"the page has {len(lines):,} lines, may have {MOST_LINES:,}")
        for line in lines:
            if not line or line[0] == "#":
                continue
            end = line.rfind("}") + 1
            if end:
                name = line[: line.find("{")]
            else:
                name = line.partition(" ")[0]
                end = len(name)
            if name not in kept:
                continue
            key = line[:end]
            if key not in raw and key not in stored and (key in dropped or not self._add(key)):
                continue
            try:
                values[key] = float(line[end:])
            except ValueError:
                values[key] = _number(line[end:])
        return values

    def _add(self, key: str) -> bool:
        """Add a series if a rule reads it, and return whether it does."""
        name, labels = _named_labels(key, self.target)
        kept = self._kept[name]
        if not _is_selected(kept, labels):
            if len(self._dropped) >= MOST_LINES:
                self._dropped.clear()
            self._dropped.add(key)
            return False
        if len(self._raw) + len(self.stored) >= MOST_SERIES:
            self.too_many += 1
            return False
        self.is_changed = True
        if kept.stored_seconds:
            for old, one in self.stored.items():  # the same series with its labels in another order
                if one.name == name and one.labels == labels:
                    self.stored[key] = self.stored.pop(old)
                    return True
            self.stored[key] = StoredSeries(name, labels, kept)
        else:
            self._raw[key] = (name, labels, [None] * len(self._times))
        return True

    def _key_of_up(self) -> str:
        if "up" not in self._raw:
            labels = frozenset(self.target.labels().items())
            self._raw["up"] = ("up", labels, [None] * len(self._times))
            self.is_changed = True
        return "up"

    def _compact(self, now: float) -> None:
        self._compacted_at = now
        old = bisect_left(self._times, now - RAW_SECONDS)
        del self._times[:old]
        for key, (_, _, values) in list(self._raw.items()):
            del values[:old]
            if not any(value is not None for value in values):
                del self._raw[key]
                self.is_changed = True
        for key, one in list(self.stored.items()):
            one.compact(now)
            if not one.times:
                del self.stored[key]
                self.is_changed = True


class AllSamples:
    """The samples of all targets, as the evaluator reads them."""

    def __init__(self, kept: Mapping[str, Kept]) -> None:
        """Begin without targets. `kept`: metric -> how its series are kept."""
        self._kept = kept
        self._targets: dict[str, TargetSamples] = {}
        self._by_name: dict[str, list[Series]] = {}
        self._is_changed = True

    def of(self, address: str, target: ScrapeTarget) -> TargetSamples:
        """Return the samples of a target, which is added if it is new.

        Args:
            address: Where the target's metrics are read.
            target: Its job and instance. If they have changed, the samples so far are dropped.
        """
        found = self._targets.get(address)
        if found is None or found.target != target:
            self._targets[address] = found = TargetSamples(target, self._kept)
            self._is_changed = True
        return found

    def remove_others(self, addresses: Collection[str]) -> None:
        """Remove the targets that are not among these addresses."""
        for address in self._targets.keys() - set(addresses):
            del self._targets[address]
            self._is_changed = True

    def targets(self) -> Mapping[str, TargetSamples]:
        """Return address -> samples."""
        return self._targets

    def by_name(self) -> Mapping[str, list[Series]]:
        """Return metric -> series, for the evaluator; they grow with each page."""
        if self._is_changed or any(one.is_changed for one in self._targets.values()):
            self._by_name = {}
            for one in self._targets.values():
                one.is_changed = False
                for name, series in one.series():
                    self._by_name.setdefault(name, []).append(series)
            self._is_changed = False
        return self._by_name


def _named_labels(key: str, target: ScrapeTarget) -> tuple[str, Labels]:
    """Return the metric and the labels of a series; its own `job` and `instance` become `exported_...`.

    Raises:
        PageError: The key is not in Prometheus' text format.
    """
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = list(text_string_to_metric_families(f"{key} 0\n"))
        (sample,) = families[0].samples
    except (ValueError, IndexError, KeyError) as error:
        raise PageError(f"the page has {key[:200]!r}, which is not a series") from error
    own = target.labels()
    labels = {
        f"exported_{name}" if name in own else name: text.replace("\0", "\ufffd")  # no database takes NUL
        for name, text in sample.labels.items()
    }
    return sample.name, frozenset((labels | own).items())


def _is_selected(kept: Kept, labels: Labels) -> bool:
    known = dict(labels)
    return any(
        all(matcher.matches(known.get(matcher.label, "")) for matcher in selector.matchers)
        for selector in kept.selectors
    )


def _number(text: str) -> float:
    """Return the value before a time. Raises PageError if there is none."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        raise PageError(f"the page has the value {text.strip()[:100]!r}, which is not a number") from None


def _braced(labels: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}={text!r}" for name, text in sorted(labels)) + "}"
