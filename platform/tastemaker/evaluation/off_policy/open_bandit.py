"""Logs in the format of the Open Bandit Dataset: three items per visit, one impression per row.

    timestamp, item_id, position (1 to 3), click, propensity_score, user_feature_*, user-item_affinity_*

`propensity_score` is the probability that the logging policy puts this item *at this position*: with 34
items, 1/34 at each position under the uniform policy, although three items are drawn without replacement. The
format does not say which rows were shown together: each is a round of its own, and a value is clicks per
impression.

Reference: Saito, Aihara, Matsutani, Narita, "Open Bandit Dataset and Pipeline: towards realistic and
reproducible off-policy evaluation", NeurIPS 2021 Datasets and Benchmarks, arXiv:2008.07146.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, Float64

if TYPE_CHECKING:
    import pyarrow as pa

DRAWS = 100_000
_COLUMNS = ("item_id", "position", "click", "propensity_score")
_USER, _AFFINITY = "user_feature_", "user-item_affinity_"
_BLOCK = 10_000


class Priors(NamedTuple):
    """Parameters of the Beta(α, β) prior of each item's click rate."""

    alpha: Float64
    """float64[n_items]"""
    beta: Float64
    """float64[n_items]"""


class BetaDraws(Protocol):
    """Protocol of a numpy Generator, or of a RandomState to repeat another program's stream."""

    def beta(self, a: Any, b: Any, size: Any) -> Any:
        """Draw independently from Beta(a, b).

        Args:
            a: α, above 0: float64[n_items].
            b: β, above 0: float64[n_items].
            size: The shape of the draws, (draws, n_items).

        Returns:
            float64 of that shape, 0 to 1.
        """


def load_log(path: Path, *, n_items: int | None = None) -> BanditFeedback:
    """Read one policy's file, such as `random_men.csv` (the full data set: `random/men/men.csv`).

    Contexts are the user features as indicators of their values, then the affinities.

    Args:
        path: The CSV file.
        n_items: The number of items; None for the number of affinity columns, of which there is one per item.

    Returns:
        An impression per row, each a round of its own, with positions from 0 and clicks as rewards.

    Raises:
        OffPolicyError: The file can't be read, lacks a column, or has invalid rows.
    """
    table = _read(path, _COLUMNS)
    _refuse_duplicates(path, table)
    _refuse_clicks(path, table)
    users = [_indicators(table[name].to_pylist()) for name in _named(table, _USER)]
    affinities = [table[name].to_numpy()[:, None] for name in _named(table, _AFFINITY)]
    items = table["item_id"].to_numpy()
    return BanditFeedback.of(
        items,
        table["click"].to_numpy(),
        table["propensity_score"].to_numpy(),
        n_actions=n_items or len(affinities) or int(items.max(initial=0)) + 1,
        positions=table["position"].to_numpy() - 1,
        contexts=np.hstack([*users, *affinities]) if users or affinities else None,
    )


def load_priors(path: Path) -> Priors:
    """Read the table `item_id, alpha, beta`, which must hold every item once. Raises OffPolicyError."""
    table = _read(path, ("item_id", "alpha", "beta"))
    items = table["item_id"].to_numpy()
    if not np.array_equal(np.sort(items), np.arange(len(items))):
        raise OffPolicyError(
            f"{path}: item_id does not hold each of 0 to {len(items) - 1} once", fix="write one row per item"
        )
    order = np.argsort(items)
    alpha, beta = (table[name].to_numpy()[order].astype(np.float64) for name in ("alpha", "beta"))
    if not ((alpha > 0) & (beta > 0)).all():
        raise OffPolicyError(
            f"{path}: an alpha or beta is not above 0", fix="write the parameters of Beta distributions"
        )
    return Priors(alpha, beta)


def thompson_sampling(priors: Priors, rng: BetaDraws, *, n_positions: int = 3, draws: int = DRAWS) -> Float64:
    """Return how often Bernoulli Thompson sampling puts each item at each position.

    Each draw samples every item's click rate from its prior, and shows the greatest first. A probability p
    has the standard error √(p(1 − p)/draws): 0.0014 at p = 0.3 and 100,000 draws, about 0.2 % of the men
    campaign's IPS.

    Args:
        priors: The priors of the items' click rates.
        rng: The source of random numbers.
        n_positions: The length of the lists.
        draws: The number of draws.

    Returns:
        float64[n_items, n_positions], whose columns sum to 1.
    """
    counts = np.zeros((n_positions, len(priors.alpha)))
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start), len(priors.alpha)
        best = np.argsort(-rng.beta(priors.alpha, priors.beta, size), axis=1)[:, :n_positions]
        for position, items in enumerate(best.T):
            counts[position] += np.bincount(items, minlength=len(priors.alpha))
    return np.asarray(counts.T / draws)


def _read(path: Path, needed: tuple[str, ...]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = csv.read_csv(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise OffPolicyError(
            f"{path} can't be read as CSV: {error}", fix="name a file of the Open Bandit Dataset"
        ) from error
    if missing := [name for name in needed if name not in table.column_names]:
        raise OffPolicyError(
            f"{path} has no column {', '.join(missing)}", fix="name a file of the Open Bandit Dataset"
        )
    for name in needed:
        kind = table[name].type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise OffPolicyError(f"{path}: column {name} holds {kind}, must hold numbers")
    return table


def _refuse_duplicates(path: Path, table: pa.Table) -> None:
    """Raise OffPolicyError for rows with equal timestamp, item, position and user features."""
    key = ["timestamp", "item_id", "position", *_named(table, _USER)]
    if "timestamp" not in table.column_names:
        return
    kinds = len(table.group_by(key).aggregate([]))
    if kinds < len(table):
        raise OffPolicyError(
            f"{path}: {len(table) - kinds:,} of {len(table):,} rows are duplicates (same timestamp, item, "
            "position and user features), and would count twice",
            fix="leave the duplicated rows out",
        )


def _refuse_clicks(path: Path, table: pa.Table) -> None:
    clicks = table["click"].to_numpy()
    wrong = np.flatnonzero(~np.isin(clicks, (0, 1)))
    if len(wrong):
        raise OffPolicyError(
            f"{path}: click is {clicks[wrong[0]]} in row {wrong[0] + 1}, must be 0 or 1",
            fix="correct the log",
        )


def _named(table: pa.Table, prefix: str) -> list[str]:
    found = [name for name in table.column_names if name.startswith(prefix)]
    return sorted(found, key=lambda name: int(name.removeprefix(prefix)))


def _indicators(values: list[str]) -> NDArray[np.float64]:
    """Return float64[n, kinds - 1]: one column per value except the first, in alphabetical order."""
    kinds, place = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
    columns = place.reshape(-1, 1) == np.arange(1, len(kinds))
    return np.asarray(columns, np.float64)
