"""Temporal split: training before a cutoff, test after it, at the same time for all users."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from tastemaker.dataset.as_of import AsOf, utc_text
from tastemaker.dataset.slices import Strings, head_items, user_slices
from tastemaker.errors import NoTestUsersError, SourceError
from tastemaker.plugins.arrays import Bool, Events, Int32
from tastemaker.plugins.training_data import TrainingData
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Split:
    """A training window, and the test period by which models are evaluated."""

    train: TrainingData
    snapshot: Snapshot
    """State at the cutoff, as serving has it."""
    users: Int32
    """int32[n]: the evaluated users; -1 for one without an event before the cutoff."""
    user_ids: list[str]
    """n ids, in UTF-8 order."""
    relevant: csr_array
    """float32 n x n_items: net rewards, not 0, of the items that users chose in the test period.

    Above 0, the item is relevant; every row has one. Below 0, it did harm, such as a return. Items that may
    not be recommended to the user are left out: those disliked before and, without repeats, those had before.
    """
    unreachable: int
    """Number of rewarded test events whose item no list could have: unknown at the cutoff, or unavailable."""
    unevaluated: int
    """Number of users of the test period without a relevant item."""
    start: int
    """The training window: [start, cut), seconds since 1970 UTC."""
    cut: int
    """The test period: [cut, end)."""
    end: int
    data_hash: str
    user_slices: dict[str, Strings] = field(default_factory=dict)
    """Dimension -> str[n], the slice of each evaluated user."""
    item_slices: dict[str, Bool] = field(default_factory=dict)
    """Item slice -> bool[n_items], its members."""

    @cached_property
    def slices_digest(self) -> str:
        """Hash of both kinds of slices: stored results with another hash are sliced again."""
        digest = blake2b(digest_size=16)
        for slices in (self.user_slices, self.item_slices):
            for name, members in slices.items():
                digest.update(f"{name}\0{members.dtype.str}{members.shape}".encode())
                digest.update(members.tobytes())
        return digest.hexdigest()


FAR_FEWER = 0.2
"""A test period with less than this share of the preceding period's users is refused."""
ENOUGH_USERS = 10
"""With fewer users in the preceding period, the test period is not checked."""


def make_split(dataset: Dataset, seed: int, at: int | None = None, end: int | None = None) -> Split:
    """Split a data set at a cutoff.

    Args:
        dataset: The events and the problem.
        seed: Of the training data's random generator.
        at: The cutoff, seconds since 1970 UTC; by default `problem.split.test_days` before the data's end.
        end: The end of the test period, likewise; by default the data's end.

    Returns:
        The training data and the test period.

    Raises:
        NoTestUsersError: No user of the test period has a relevant item.
        SourceError: No event is left to train on; or, if neither `at` nor `end` is given, the test period has
            far fewer users than the period before it.
    """
    if at is None and end is None:
        _refuse_deserted_test(dataset, test_start(dataset))
    at, end = test_start(dataset) if at is None else at, dataset.end if end is None else end
    cut = AsOf.at(dataset, at)
    tested = dataset.events[slice(*np.searchsorted(dataset.events.times, [at, end]).tolist())]
    users_tested = np.unique(tested.users)
    snapshot = cut.snapshot()
    sums, unreachable = _sums(tested, users_tested, cut, snapshot)
    evaluated = (sums > 0).sum(axis=1) > 0
    if not evaluated.any():
        raise NoTestUsersError(
            f"no user has a relevant item from {utc_text(at)} to {utc_text(end)}: no model can be evaluated",
            fix="change split.test_days in the problem file, or allow repeats",
        )
    users = cut.user_numbers[users_tested[evaluated]]
    rules = dataset.problem.slices
    events_before = np.append(np.bincount(cut.events.users, minlength=len(cut.user_ids)), 0)  # the last: -1
    head = head_items(np.bincount(cut.history.items, minlength=len(cut.item_ids)), rules.head_share)
    return Split(
        train=cut.training(seed),
        snapshot=snapshot,
        users=users,
        user_ids=dataset.user_ids.decode(users_tested[evaluated]),
        relevant=sums[np.flatnonzero(evaluated)],
        unreachable=unreachable,
        unevaluated=int((~evaluated).sum()),
        start=cut.start,
        cut=at,
        end=end,
        data_hash=dataset.data_hash,
        user_slices=user_slices(
            events_before[users], rules.new_below, dataset.labels, users_tested[evaluated]
        ),
        item_slices={"head": head, "tail": ~head},
    )


def test_start(dataset: Dataset) -> int:
    """Return the start of the test period, seconds since 1970. Raise SourceError without events before."""
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

    Data with an explicit end, such as by split.until, is not checked.
    """
    if dataset.until is not None:
        return
    times, days = dataset.events.times, dataset.problem.split.test_days
    last = int(times[np.searchsorted(times, at) - 1])  # there is one: `test_start` checks it
    end = (last // DAY_SECONDS + 1) * DAY_SECONDS
    tested, before = _n_users(dataset, dataset.end), _n_users(dataset, end)
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
    """Return the day before a midnight."""
    return utc_text(end - 1)[:10]


def _n_users(dataset: Dataset, end: int) -> int:
    """Return the number of users with an event in the split.test_days before `end`."""
    start = end - dataset.problem.split.test_days * DAY_SECONDS
    within = slice(*np.searchsorted(dataset.events.times, [start, end]).tolist())
    return len(np.unique(dataset.events.users[within]))


def _busy_end(dataset: Dataset, before: int) -> int:
    """Return the latest midnight after a day with events whose test period has half of `before` users."""
    for day in np.unique(dataset.events.times // DAY_SECONDS)[::-1].tolist():
        if 2 * _n_users(dataset, (day + 1) * DAY_SECONDS) >= before:
            return int(day + 1) * DAY_SECONDS
    return dataset.end


def _sums(tested: Events, users_tested: Int32, cut: AsOf, snapshot: Snapshot) -> tuple[csr_array, int]:
    """Return net rewards, float32[users, n_items], and the number of unreachable rewarded events."""
    rows = np.searchsorted(users_tested, tested.users)
    items = cut.item_numbers[tested.items]
    reachable = items >= 0
    if cut.available is not None:
        reachable[reachable] = cut.available[items[reachable]]
    shape = (len(users_tested), len(cut.item_ids))
    sums = csr_array((tested.rewards[reachable], (rows[reachable], items[reachable])), shape=shape)
    out = snapshot.history[cut.user_numbers[users_tested]].ruled_out(snapshot.repeats)
    if out is not None:
        sums = sums - sums.multiply(out.astype(np.float32)).tocsr()
    sums.eliminate_zeros()
    sums.sort_indices()
    return sums, int((~reachable & (tested.rewards > 0)).sum())
