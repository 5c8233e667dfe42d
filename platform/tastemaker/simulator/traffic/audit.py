"""Holds a client log against the logs: was anything acknowledged that is not there, or there twice?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tastemaker.simulator.traffic.client_log import Acknowledged, Answered, Begun, Entry, GivenUp


@dataclass
class ClientEvents:
    """The content of a client log."""

    runs: set[str] = field(default_factory=set)
    """What event ids begin with."""
    answers: dict[str, list[str]] = field(default_factory=dict)
    """Request id -> the items that the client got."""
    acknowledged: set[str] = field(default_factory=set)
    """Event ids."""
    abandoned: set[str] = field(default_factory=set)
    """Event ids whose fate the client never learned."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> ClientEvents:
        """Summarize the entries of a client log."""
        witnessed = cls()
        for entry in entries:
            if isinstance(entry, Begun):
                witnessed.runs.add(entry.run)
            elif isinstance(entry, Answered):
                witnessed.answers[entry.request_id] = entry.item_ids
            elif isinstance(entry, Acknowledged):
                witnessed.acknowledged.update(entry.event_ids)
            elif isinstance(entry, GivenUp):
                witnessed.abandoned.update(entry.event_ids)
        witnessed.abandoned -= witnessed.acknowledged
        return witnessed


@dataclass(frozen=True)
class LogAudit:
    """The differences between a client log and the service's logs. Lists are sorted."""

    acknowledged: int
    answered: int
    lost_events: list[str]
    """Acknowledged, and not in the log."""
    doubled_events: list[str]
    """Sent by a run of this client log, acknowledged or not, and in the log more than once."""
    late_truths: int
    """Abandoned by the client, and in the log once all the same: that is allowed."""
    lost_answers: list[str]
    """Given, and not in the log. A service that is killed may lose those of its last milliseconds."""
    doubled_answers: list[str]
    altered_answers: list[str]
    """Logged with other items than the client got."""

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, doubled or altered."""
        return self.feedback_sound and not (self.lost_answers or self.doubled_answers or self.altered_answers)

    @property
    def feedback_sound(self) -> bool:
        """Whether no acknowledged event was lost, and none doubled."""
        return not (self.lost_events or self.doubled_events)


def check(
    witnessed: ClientEvents,
    event_ids: Iterable[str],
    requests: Iterable[tuple[str, Sequence[str]]],
) -> LogAudit:
    """Compare a client log with the service's drained logs.

    Args:
        witnessed: The content of the client log.
        event_ids: The event id of each row of the feedback log.
        requests: The request id and the items of each row of the request log.

    Returns:
        The differences. Rows of the logs that the client log does not know are left out.
    """
    events = Counter(event_ids)
    times: Counter[str] = Counter()
    altered = set()
    for request_id, item_ids in requests:
        times[request_id] += 1
        if request_id in witnessed.answers and list(item_ids) != witnessed.answers[request_id]:
            altered.add(request_id)
    return LogAudit(
        acknowledged=len(witnessed.acknowledged),
        answered=len(witnessed.answers),
        lost_events=sorted(witnessed.acknowledged - events.keys()),
        doubled_events=sorted(
            one for one, n in events.items() if n > 1 and one.partition("-")[0] in witnessed.runs
        ),
        late_truths=sum(events[one] == 1 for one in witnessed.abandoned),
        lost_answers=sorted(witnessed.answers.keys() - times.keys()),
        doubled_answers=sorted(one for one in witnessed.answers if times[one] > 1),
        altered_answers=sorted(altered),
    )
