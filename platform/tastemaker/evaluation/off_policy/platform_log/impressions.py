"""The platform's request log as rewarded impressions, and which requests can be used.

`tastemaker.event_log.attribution` computes the reward of each item shown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.lake import Lake
from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.bandit_feedback import MIN_PROPENSITY, BanditFeedback
from tastemaker.event_log.attribution import attribute
from tastemaker.event_log.drain import read_log
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.ids import IdIndex
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection


class RequestLog(NamedTuple):
    """Usable requests, oldest first, and their impressions."""

    requests: pa.Table
    """One row per request, as in `data.tables.REQUESTS`."""
    item_ids: list[str]
    """The item of each impression, in the order of `log`, whose rounds are the rows of `requests`."""
    log: BanditFeedback
    left_out: dict[str, int]
    """Number of requests left out, by reason."""


def read_requests(lake: Lake, problem: ProblemSpec, *, since: int, versions: Collection[str]) -> RequestLog:
    """Read the requests that can be used, with their rewards.

    Args:
        lake: The lake with the request log and the events.
        problem: The problem, which defines the rewards.
        since: Leave out requests before this time (seconds since 1970 UTC).
        versions: Ids of versions: requests that others answered are left out.

    Returns:
        The requests, oldest first, their impressions, and why others are left out.

    Raises:
        OffPolicyError: No request can be used; the message gives the reasons.
    """
    asked = read_log(lake).sort_by([("occurred_at", "ascending"), ("request_id", "ascending")])
    if not len(asked):
        raise OffPolicyError(
            "the request log is empty",
            fix="serve a version and send it requests, then drain its log: tastemaker run",
        )
    found = attribute(lake, problem)
    if found.arrived_until is None:
        raise OffPolicyError(
            f"there is no event of a type that {problem.name!r} rewards, so no impression has a reward",
            fix="ingest the events that followed: tastemaker run",
        )
    kept, left_out = _sift(asked, since=since, versions=versions, last=found.arrived_until - found.window)
    if not kept.any():
        days = found.window / DAY_SECONDS
        reasons = "\n    ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise OffPolicyError(
            f"none of the {len(asked):,} logged requests can be used:\n    {reasons}",
            fix="serve a stochastic policy (random, or a bandit) to a share of the traffic, ingest the "
            f"events of the {days:g} days after, and evaluate a version that was trained before that",
        )
    return _impressions(asked, kept, found.impressions, left_out)


def _sift(
    asked: pa.Table, *, since: int, versions: Collection[str], last: float
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return bool[len(asked)], which requests can be used, and how many can't by their first reason."""
    times = asked["occurred_at"].cast(pa.int64()).to_numpy() / 1e6
    chances = asked["propensities"].to_pylist()
    version = np.array(asked["version"].to_pylist(), dtype=np.str_)
    explores = np.array([any(chance < 1 for chance in row) for row in chances])
    exploring = np.unique(version[explores])
    window_end = datetime.fromtimestamp(since, UTC)
    faults = {
        "answered by a version of another problem": ~np.isin(version, list(versions)),
        f"from before {window_end:%Y-%m-%d %H:%M} UTC, the end of a training window": times < since,
        "so recent that events may still be attributed to them": times > last,
        "answered with help of the fallback list": asked["fallback"].is_valid().to_numpy(),
        f"with a propensity outside (0, 1] or below {MIN_PROPENSITY:g}, or with no item": np.array(
            [not row or not all(MIN_PROPENSITY <= chance <= 1 for chance in row) for row in chances]
        ),
        "answered by deterministic versions, with every propensity 1": ~np.isin(version, exploring),
    }
    kept, left_out = np.ones(len(asked), np.bool_), {}
    for reason, faulty in faults.items():
        if count := int(np.count_nonzero(kept & faulty)):
            left_out[reason] = count
        kept &= ~faulty
    return kept, left_out


def _impressions(
    asked: pa.Table, kept: NDArray[np.bool_], impressions: pa.Table, left_out: dict[str, int]
) -> RequestLog:
    """Return the used requests with their impressions in the same order."""
    lengths = asked["item_ids"].combine_chunks().value_lengths().to_numpy()
    shown = impressions.filter(pa.array(np.repeat(kept, lengths)))
    item_ids: list[str] = shown["item_id"].to_pylist()
    index = IdIndex.build(item_ids)
    log = BanditFeedback.of(
        index.lookup(item_ids),
        shown["reward"].to_numpy(),
        shown["propensity"].to_numpy().astype(np.float64),
        n_actions=len(index),
        positions=shown["position"].to_numpy(),
        rounds=np.repeat(np.arange(np.count_nonzero(kept)), lengths[kept]),
    )
    return RequestLog(asked.filter(pa.array(kept)), item_ids, log, left_out)
