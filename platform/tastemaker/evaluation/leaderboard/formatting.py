"""Figures as text, the same in the terminal, on the page and on the plot."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isnan

from tastemaker.evaluation.leaderboard.breaches import Breach
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.leaderboard.pairwise import Ranks
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.seeds import SeedSpread, standard_error
from tastemaker.stats.bootstrap import Difference, Interval

GROUPS = {
    "Accuracy": ("ndcg", "recall", "map", "mrr", "hit_rate", "reward"),
    "Coverage and diversity": ("coverage", "novelty", "diversity", "popularity_bias"),
}
"""Metrics of each table: ten columns of metrics are too wide to read."""


def title(metric: str, k: int) -> str:
    """Return a metric's title with the length of the lists, such as NDCG@10.

    Args:
        metric: The metric's name, a key of `METRICS`.
        k: The length of the lists.
    """
    return f"{METRICS[metric].title}@{k}"


def number(value: float, *, signed: bool = False) -> str:
    """Return a number with four significant places below 10, then fewer.

    Args:
        value: The number. A minus is the sign −, not a hyphen.
        signed: Whether a number above 0 begins with +.

    >>> [number(value) for value in (0.04123, 3.2714, 128.41, 20145.3)]
    ['0.0412', '3.271', '128.4', '20,145']
    >>> number(0.04123, signed=True)
    '+0.0412'
    """
    size = abs(value)
    places = 4 if size < 1 else 3 if size < 10 else 1 if size < 1000 else 0
    return f"{value:{'+' if signed and value else ''},.{places}f}".replace("-", "−")


def span(figures: Interval | Difference, *, signed: bool = False) -> str:
    """Return an interval, such as `0.0380 to 0.0450`, or why there is none.

    Args:
        figures: What has the interval, whose ends are NaN where there is none.
        signed: Whether an end above 0 begins with +.
    """
    if isnan(figures.low):
        return figures.why_none()
    return f"{number(figures.low, signed=signed)} to {number(figures.high, signed=signed)}"


def ranks(found: Ranks) -> str:
    """Return the ranks that a model can have, such as 1, or 2–4 where differences are not significant."""
    return str(found.first) if found.first == found.last else f"{found.first}–{found.last}"


def chance(p: float | None) -> str:
    """Return a p-value, such as `p 0.034` or `p < 0.001`; empty where nothing was compared."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.9995 else "p 1"


def breach(found: Breach) -> str:
    """Return a breach in words, such as `Coverage 0.0200, must be at least 0.1000`."""
    name = METRICS[found.metric].title
    if found.slice:
        return (
            f"{name} of {found.slice} {number(-found.value)} below the baseline, "
            f"must be at most {number(-found.limit)} below"
        )
    return f"{name} {number(found.value)}, must be {found.side} {number(found.limit)}"


def breached(board: Leaderboard) -> dict[str, list[str]]:
    """Return the breaching models with their figures by guardrail, such as `Coverage at least 0.0500`."""
    found: dict[str, list[str]] = {}
    for row in board.rows:
        for one in row.breaches:
            name = METRICS[one.metric].title
            if one.slice:
                key, figure = (
                    f"{name} of {one.slice} at most {number(-one.limit)} below the baseline",
                    -one.value,
                )
            else:
                key, figure = f"{name} {one.side} {number(one.limit)}", one.value
            found.setdefault(key, []).append(f"{row.model} {number(figure)}")
    return found


def seconds(value: float) -> str:
    """Return a duration, such as 12 ms, 3.4 s or 2 min 5 s."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60} s"


def size(n_bytes: int) -> str:
    """Return a size in powers of 1000, such as 640 B or 12.3 MB."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def seeds(found: SeedSpread, metric: str, users: Interval) -> tuple[str, str, str]:
    """Return the spread over seeds, the error over users, and which is the larger, as texts.

    Args:
        found: The figures with several seeds.
        metric: The name of the metric.
        users: The metric's interval over users.
    """
    larger = {
        "seeds": "seeds: another seed may change the order",
        "users": "users",
        "neither": "neither",
        "unknown": "unknown",
    }
    return (
        f"{number(found.deviation(metric))}, {len(found.seeds)} seeds",
        users.why_none() if isnan(standard_error(users)) else number(standard_error(users)),
        larger[found.larger(metric, users)],
    )


SEED_HEADS = ("standard deviation over seeds", "standard error over users", "larger")
"""Headings of what `seeds` returns."""


def basis(board: Leaderboard) -> str:
    """Return the number of users and the windows behind the figures."""
    start, cut, end = board.window
    return (
        f"{board.users:,} users evaluated, {days(cut, end)}; trained on {days(start, cut)}; "
        f"lists of {board.k}; 95 % intervals over users"
    )


def days(start: datetime, end: datetime) -> str:
    """Return a window's first and last day, both inclusive, such as `2024-01-01 to 2024-01-31`.

    Args:
        start: When the window begins.
        end: When it ends, exclusive: a window that ends at midnight does not have the day that begins then.
    """
    return f"{start:%Y-%m-%d} to {end - timedelta(microseconds=1):%Y-%m-%d}"


def summary(board: Leaderboard) -> str:
    """Return the leaderboard in a few sentences."""
    name = title(board.metric, board.k)
    top = board.rows[0].model
    best = [row for row in board.rows if row.standing != "worse"]
    tied = ", ".join(row.model for row in best[1:])
    said = [
        f"{top} is best by {name}."
        if not tied
        else f"{top} has the best {name}, but is not significantly better than: {tied}."
    ]
    best_of_all = [row for row in board.rows if row.verdict == "better" or row.standing == "best"]
    for row in best_of_all:
        lost = ", ".join(one.slice for one in row.breaches if one.slice)
        if lost:
            overall = (
                f"is better than {board.problem.baseline} overall"
                if row.verdict == "better"
                else "is best overall"
            )
            said.append(f"{row.model} {overall}, but breaches the guardrail of {lost}.")
    breaching = ", ".join(row.model for row in best if any(one.slice is None for one in row.breaches))
    if breaching:
        said.append(f"Guardrails breached by: {breaching}.")
    if board.unchecked_guardrails:
        said.append(
            "Guardrails not checked, because no evaluated user, or every one, is in the slice: "
            f"{', '.join(board.unchecked_guardrails)}."
        )
    compared_models = {row.model for row in board.rows}
    failed = [one.model for one in board.failures if one.model not in compared_models]
    if failed:
        said.append(f"Not compared, because their backtest failed: {', '.join(failed)}.")
    unfitted = [one.model for one in board.failures if one.model in compared_models]
    if unfitted:
        said.append(f"Compared, but failed later: {', '.join(unfitted)}.")
    compared = sum(row.difference is not None for row in board.rows)
    better = sum(row.verdict == "better" for row in board.rows)
    if compared:
        said.append(f"Better than the baseline {board.problem.baseline}: {better} of {compared} models.")
    else:
        said.append(f"No model was compared with the baseline {board.problem.baseline}.")
    return " ".join(said)
