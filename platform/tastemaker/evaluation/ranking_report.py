"""Report on the recommendation quality of a version: our figures, and Evidently's of the same lists.

Both are computed from the lists of the version's backtest, apart from each other, and must agree: a report
whose figures differ is refused. Evidently's recall and MAP divide by all relevant items of a user, ours by at
most k; they are compared by Evidently's definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tastemaker.errors import TastemakerError
from tastemaker.evaluation import ranking_report_page
from tastemaker.evaluation.evaluator import user_keys
from tastemaker.evaluation.metrics import Float64, RankedLists
from tastemaker.evaluation.results import to_json
from tastemaker.monitoring import evidently_pages
from tastemaker.monitoring.evidently_pages import SUFFIX
from tastemaker.monitoring.report_archive import PAGE, ReportArchive, ReportSubject
from tastemaker.plugins import NO_ITEM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from sqlalchemy import Engine

    from tastemaker.dataset.split import Split
    from tastemaker.evaluation.results import Backtest, UserResults
    from tastemaker.registry import Version

MOST_USERS = 5_000
"""Users whose lists Evidently is given; of more, a random sample."""
TOLERANCE = 1e-6
"""The largest difference between our figures and Evidently's that is rounding."""
PLOTTED = 10
"""Ranks that Evidently plots, also where k is smaller."""


@dataclass(frozen=True)
class RankingReport:
    """Report on the recommendation quality of a version: the page, and the stored summary."""

    path: Path
    summary: dict[str, Any]


def ranking_report(
    version: Version,
    backtest: Backtest,
    users: UserResults,
    split: Split,
    engine: Engine,
    folder: Path,
    *,
    now: datetime | None = None,
) -> RankingReport:
    """Write the report on a version's backtest.

    Args:
        version: The version that the report is about.
        backtest: The version's backtest.
        users: The lists and metrics of that backtest.
        split: The split that it was evaluated on.
        engine: Of the metadata database.
        folder: The folder of all reports.
        now: The time of the report; None: the current one.

    Returns:
        The folder's page, and the summary as it is stored.

    Raises:
        TastemakerError: The backtest is one of other users than the split's, has no stored lists, or
            Evidently's figures differ from ours.
    """
    if users.lists is None or not np.array_equal(users.user_keys, user_keys(split.user_ids)):
        raise TastemakerError(
            f"the stored lists of {version.model} {version.id} are not of the users of the test period",
            fix="train and evaluate the model again: tastemaker run",
        )
    now, name = now or datetime.now(UTC), f"{version.model} {version.id}"
    chosen = _sample(len(users.lists))
    lists, relevant = users.lists[chosen], split.relevant[chosen]
    page = evidently_pages.ranking(f"Ranking: {name}", ranking_rows(lists, relevant), users.k)
    ours = by_their_definition({one: values[chosen] for one, values in users.values.items()}, lists, relevant)
    refuse_differences(name, ours, page.figures)
    summary = _summary(backtest, users.k, len(lists), page.figures)
    link = f"ranking{SUFFIX}"
    title = f"Recommendation quality: {name}"
    path = ReportArchive(engine, folder).write(
        ReportSubject("ranking", version.problem, version.id, version.model),
        summary,
        {link: page.document, PAGE: ranking_report_page.render(title, summary, now, link)},
        created_at=now,
        window=(backtest.train_end, backtest.test_end),
    )
    return RankingReport(path, summary)


def ranking_rows(lists: NDArray[np.int32], relevant: csr_array) -> pa.Table:
    """Return lists as the rows that `evidently_pages.ranking` reads.

    Users are numbers from 0. A place without an item is a row that misses, as in our metrics; Evidently would
    count the last item again.

    Args:
        lists: int32[n, k], padded with -1 at the end of a row.
        relevant: float[n, n_items], the rewards.
    """
    n, k = lists.shape
    places = max(k, PLOTTED)
    padded = np.full((n, places), NO_ITEM, np.int64)
    padded[:, :k] = lists
    hits = np.zeros((n, places), np.int64)
    hits[:, :k] = RankedLists(lists, relevant, catalogue=None).hits  # type: ignore[arg-type]  # not read by hits
    wanted = relevant.tocoo()
    wanted_users, wanted_items = (one[wanted.data > 0].astype(np.int64) for one in (wanted.row, wanted.col))
    missed = ~(padded[wanted_users] == wanted_items[:, None]).any(axis=1)
    missed_users = wanted_users[missed]
    return pa.table(
        {
            "user": np.concatenate([np.repeat(np.arange(n), places), missed_users]),
            "item": np.concatenate([padded.ravel(), wanted_items[missed]]),
            "rank": np.concatenate([np.tile(np.arange(1, places + 1), n), places + _counted(missed_users)]),
            "target": np.concatenate([hits.ravel(), np.ones(len(missed_users), np.int64)]),
        }
    )


def by_their_definition(
    values: Mapping[str, Float64], lists: NDArray[np.int32], relevant: csr_array
) -> dict[str, float]:
    """Return the means of our metrics over users, by Evidently's definitions.

    Args:
        values: float64[n] by metric, as our evaluator computed them.
        lists: int32[n, k]
        relevant: float[n, n_items], the rewards.
    """
    ranked = RankedLists(lists, relevant, catalogue=None)  # type: ignore[arg-type]  # not read by these
    of_all = ranked.reachable / np.maximum(ranked.wanted, 1)
    scale = {"recall": of_all, "map": of_all}
    return {name: float(np.mean(values[name] * scale.get(name, 1.0))) for name in evidently_pages.RANKING}


def refuse_differences(name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    """Refuse figures that differ from Evidently's by more than rounding.

    Args:
        name: The model and the version.
        ours: Our figures by metric.
        theirs: Evidently's.

    Raises:
        TastemakerError: A figure differs by more than `TOLERANCE`, or is NaN; both figures are named.
    """
    differing = [
        f"{metric} is {ours[metric]:.6f} by our evaluator and {theirs[metric]:.6f} by Evidently"
        for metric in ours
        if not abs(ours[metric] - theirs[metric]) <= TOLERANCE
    ]
    if differing:
        raise TastemakerError(
            f"two computations of the recommendation quality of {name} differ: {'; '.join(differing)}. "
            "No report is written",
            fix="pin the version of evidently that the lock file has, or report it to the project",
        )


def _sample(n: int) -> NDArray[np.int64]:
    if n <= MOST_USERS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, MOST_USERS, replace=False))


def _counted(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 1, 2, ... within each run of equal numbers."""
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    return np.arange(len(users)) - np.repeat(starts, np.diff(starts, append=len(users))) + 1


def _summary(backtest: Backtest, k: int, compared: int, theirs: Mapping[str, float]) -> dict[str, Any]:
    first = backtest.metrics["ndcg"]
    interval = "" if np.isnan(first.low) else f" ({first.low:.4f} to {first.high:.4f})"
    return {
        "verdict": f"NDCG@{k} is {first.value:.4f}{interval}; Evidently computes the same of these lists.",
        "k": k,
        "users": backtest.users,
        "users_compared": compared,
        "days": [backtest.train_end.date().isoformat(), backtest.test_end.date().isoformat()],
        "metrics": {name: to_json(backtest.metrics[name]) for name in theirs},
        "evidently": dict(theirs),
    }
