"""Train before, test after: the same moment for all users."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from tastemaker.dataset.as_of import DAY_SECONDS, AsOf, moment
from tastemaker.dataset.slices import Strings, head_items, user_slices
from tastemaker.errors import NoTestUsersError, SourceError
from tastemaker.plugins.arrays import Bool, Events, Int32, TrainingData
from tastemaker.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Split:
    """What a model learns from, and what it is judged by."""

    train: TrainingData
    snapshot: Snapshot
    """As of the training window's end."""
    users: Int32
    """int32[n]: the judged users, -1 for one that was not known before the cut."""
    user_ids: list[str]
    """n ids, in UTF-8 order."""
    relevant: csr_array
    """float32 n x n_items: the net reward of each item that the user turned to in the test period, not 0.

    Above 0, the item is relevant: every row has one. Below 0, it did harm, such as a return. What the user's
    past rules out is left out: what they disliked, and where repeats are not allowed, all that they had.
    """
    unreachable: int
    """Rewarded test events out of every list's reach: the item was not known at the cut, or is forbidden."""
    unjudged: int
    """Users of the test period without a relevant item, so that no list could be right for them."""
    start: int
    """The training window: [start, cut), seconds since 1970 UTC."""
    cut: int
    """The test period: [cut, end)."""
    end: int
    data_hash: str
    user_slices: dict[str, Strings] = field(default_factory=dict)
    """Dimension -> str[n], each judged user's slice of it."""
    item_slices: dict[str, Bool] = field(default_factory=dict)
    """Slice of the items -> bool[n_items], which are in it."""

    @cached_property
    def slices_digest(self) -> str:
        """A hash of both kinds of slices: stored results with another one are sliced anew."""
        digest = blake2b(digest_size=16)
        for slices in (self.user_slices, self.item_slices):
            for name, members in slices.items():
                digest.update(f"{name}\0{members.dtype.str}{members.shape}".encode())
                digest.update(members.tobytes())
        return digest.hexdigest()


FAR_FEWER = 0.2
"""A test period with less than this share of the users of the period before it is refused."""
ENOUGH_USERS = 10
"""Of fewer users before it, nothing is concluded."""


def make_split(dataset: Dataset, seed: int, at: int | None = None, end: int | None = None) -> Split:
    """Split at `at` (by default problem.split.test_days before the data's end); test until `end`.

    Raises SourceError if nothing is left to train on or to test, and, where neither is given, if the test
    period has far fewer users than the period before it.
    """
    if at is None and end is None:
        _refuse_deserted_test(dataset, test_start(dataset))
    at, end = test_start(dataset) if at is None else at, dataset.end if end is None else end
    cut = AsOf.at(dataset, at)
    tested = dataset.events[slice(*np.searchsorted(dataset.events.times, [at, end]).tolist())]
    everyone = np.unique(tested.users)
    snapshot = cut.snapshot()
    sums, unreachable = _sums(tested, everyone, cut, snapshot)
    judged = (sums > 0).sum(axis=1) > 0
    if not judged.any():
        raise NoTestUsersError(
            f"no user turned to a known item from {moment(at)} to {moment(end)}: no model can be evaluated",
            fix="change split.test_days in the problem file, or allow repeats",
        )
    users = cut.user_numbers[everyone[judged]]
    rules = dataset.problem.slices
    events_before = np.append(np.bincount(cut.events.users, minlength=len(cut.user_ids)), 0)  # the last: -1
    head = head_items(np.bincount(cut.history.items, minlength=len(cut.item_ids)), rules.head_share)
    return Split(
        train=cut.training(seed),
        snapshot=snapshot,
        users=users,
        user_ids=dataset.user_ids.decode(everyone[judged]),
        relevant=sums[np.flatnonzero(judged)],
        unreachable=unreachable,
        unjudged=int((~judged).sum()),
        start=cut.start,
        cut=at,
        end=end,
        data_hash=dataset.data_hash,
        user_slices=user_slices(events_before[users], rules.new_below, dataset.labels, everyone[judged]),
        item_slices={"head": head, "tail": ~head},
    )


def test_start(dataset: Dataset) -> int:
    """Where the test period starts. Raises SourceError if nothing is left before it."""
    days = dataset.problem.split.test_days
    at = dataset.end - days * DAY_SECONDS
    first = int(dataset.events.times[0])
    if first >= at:
        raise SourceError(
            f"split.test_days is {days}, but the events span {(dataset.end - first) / DAY_SECONDS:.1f} days: "
            "nothing is left to train on",
            fix="lower split.test_days in the problem file, or read more events",
        )
    return at


def _refuse_deserted_test(dataset: Dataset, at: int) -> None:
    """Refuse a test period that a few late events have moved away from the others.

    Data that was cut off on purpose, such as by split.until, is taken as it is.
    """
    if dataset.until is not None:
        return
    times, days = dataset.events.times, dataset.problem.split.test_days
    last = int(times[np.searchsorted(times, at) - 1])  # there is one: `test_start` saw to it
    end = (last // DAY_SECONDS + 1) * DAY_SECONDS
    tested, before = _people(dataset, dataset.end), _people(dataset, end)
    if before < ENOUGH_USERS or tested >= FAR_FEWER * before:
        return
    day = _day(_busy_end(dataset, before))
    raise SourceError(
        f"the test period, the {days} days until {_day(dataset.end)}, has {_users(tested)}; the "
        f"{days} days until {_day(end)} have {_users(before)}. A few late events have moved it",
        fix="correct or remove these events (tastemaker data prune, if the source has lost them), or end the "
        f"data before them: split: {{until: {day}}} in "
        f'the problem file (in a notebook: split(data, until="{day}"))',
    )


def _users(n: int) -> str:
    return f"{n:,} user" if n == 1 else f"{n:,} users"


def _day(end: int) -> str:
    """The day before a midnight."""
    return moment(end - 1)[:10]


def _people(dataset: Dataset, end: int) -> int:
    """How many users did anything in the split.test_days before `end`."""
    start = end - dataset.problem.split.test_days * DAY_SECONDS
    within = slice(*np.searchsorted(dataset.events.times, [start, end]).tolist())
    return len(np.unique(dataset.events.users[within]))


def _busy_end(dataset: Dataset, before: int) -> int:
    """The latest midnight after a day with events, whose test period has half as many users as `before`."""
    for day in np.unique(dataset.events.times // DAY_SECONDS)[::-1].tolist():
        if 2 * _people(dataset, (day + 1) * DAY_SECONDS) >= before:
            return int(day + 1) * DAY_SECONDS
    return dataset.end


def _sums(tested: Events, everyone: Int32, cut: AsOf, snapshot: Snapshot) -> tuple[csr_array, int]:
    """float32[everyone, n_items] of net rewards, and the number of rewarded events out of reach."""
    rows = np.searchsorted(everyone, tested.users)
    items = cut.item_numbers[tested.items]
    reachable = items >= 0
    if cut.available is not None:
        reachable[reachable] = cut.available[items[reachable]]
    shape = (len(everyone), len(cut.item_ids))
    sums = csr_array((tested.rewards[reachable], (rows[reachable], items[reachable])), shape=shape)
    out = snapshot.history[cut.user_numbers[everyone]].ruled_out(snapshot.repeats)
    if out is not None:
        sums = sums - sums.multiply(out.astype(np.float32)).tocsr()
    sums.eliminate_zeros()
    sums.sort_indices()
    return sums, int((~reachable & (tested.rewards > 0)).sum())
