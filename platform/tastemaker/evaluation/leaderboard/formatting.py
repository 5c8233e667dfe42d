"""Figures as people read them, the same in the terminal, on the page and on the plot."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isnan

from tastemaker.evaluation.leaderboard.leaderboard import Breach, Leaderboard
from tastemaker.evaluation.leaderboard.pairwise import Ranks
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.seeds import SeedSpread, standard_error
from tastemaker.stats.bootstrap import Difference, Interval

GROUPS = {
    "What was hit": ("ndcg", "recall", "map", "mrr", "hit_rate", "reward"),
    "What was shown": ("coverage", "novelty", "diversity", "popularity_bias"),
}
"""Ten metrics in a row are too wide to read."""


def title(metric: str, k: int) -> str:
    """Such as NDCG@10."""
    return f"{METRICS[metric].title}@{k}"


def number(value: float, *, signed: bool = False) -> str:
    """Four significant places below 10, then fewer: 0.0412, 3.271, 128.4, 20,145."""
    size = abs(value)
    places = 4 if size < 1 else 3 if size < 10 else 1 if size < 1000 else 0
    return f"{value:{'+' if signed and value else ''},.{places}f}".replace("-", "−")


def span(figures: Interval | Difference, *, signed: bool = False) -> str:
    """Such as `0.038 to 0.045`."""
    if isnan(figures.low):
        return figures.why_none()
    return f"{number(figures.low, signed=signed)} to {number(figures.high, signed=signed)}"


def ranks(found: Ranks) -> str:
    """Such as 1, or 2–4 where these users can't tell."""
    return str(found.first) if found.first == found.last else f"{found.first}–{found.last}"


def chance(p: float | None) -> str:
    """Such as `p 0.034`, `p < 0.001`; nothing where nothing was compared."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.9995 else "p 1"


def breach(found: Breach) -> str:
    """Such as `coverage 0.0200, must be at least 0.1000`."""
    name = METRICS[found.metric].title
    if found.slice:
        return f"{name} of {found.slice} {number(-found.value)} behind, may be {number(-found.limit)} behind"
    return f"{name} {number(found.value)}, must be {found.side} {number(found.limit)}"


def breached(board: Leaderboard) -> dict[str, list[str]]:
    """Each guardrail that models break, such as `Coverage at least 0.0500` -> models with their figures."""
    found: dict[str, list[str]] = {}
    for row in board.rows:
        for one in row.breaches:
            name = METRICS[one.metric].title
            if one.slice:
                key, figure = f"{name} of {one.slice} {number(-one.limit)} behind at most", -one.value
            else:
                key, figure = f"{name} {one.side} {number(one.limit)}", one.value
            found.setdefault(key, []).append(f"{row.model} {number(figure)}")
    return found


def seconds(value: float) -> str:
    """Such as 12 ms, 3.4 s, 2 min 5 s."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60} s"


def size(n_bytes: int) -> str:
    """Such as 640 B, 12.3 MB (powers of 1000)."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def seeds(found: SeedSpread, metric: str, users: Interval) -> tuple[str, str, str]:
    """The spread over seeds, the error over users, and which is the larger."""
    larger = {
        "seeds": "seeds: another seed may change the order",
        "users": "users",
        "neither": "neither",
        "not known": "not known",
    }
    return (
        f"{number(found.deviation(metric))}, {len(found.seeds)} seeds",
        users.why_none() if isnan(standard_error(users)) else number(standard_error(users)),
        larger[found.larger(metric, users)],
    )


SEED_HEADS = ("standard deviation over seeds", "standard error over users", "larger")
"""What `seeds` tells."""


def basis(board: Leaderboard) -> str:
    """What the figures stand on: users and windows."""
    start, cut, end = board.window
    return (
        f"{board.users:,} users judged, {days(cut, end)}; trained on {days(start, cut)}; "
        f"lists of {board.k}; 95 % intervals over users"
    )


def days(start: datetime, end: datetime) -> str:
    """A window's first and last day, both in it."""
    return f"{start:%Y-%m-%d} to {end - timedelta(microseconds=1):%Y-%m-%d}"


def verdict(board: Leaderboard) -> str:
    """The leaderboard in a few sentences."""
    name = title(board.metric, board.k)
    top = board.rows[0].model
    best = [row for row in board.rows if row.standing != "worse"]
    tied = ", ".join(row.model for row in best[1:])
    said = [
        f"{top} is best by {name}."
        if not tied
        else f"{top} has the best {name}, and these users do not tell it from: {tied}."
    ]
    best_of_all = [row for row in board.rows if row.mark == "beats" or row.standing == "best"]
    for row in best_of_all:
        lost = ", ".join(one.slice for one in row.breaches if one.slice)
        if lost:
            won = f"beats {board.problem.baseline} overall" if row.mark == "beats" else "is best overall"
            said.append(f"{row.model} {won}, but loses {lost} beyond the guardrail.")
    breaching = ", ".join(row.model for row in best if any(one.slice is None for one in row.breaches))
    if breaching:
        said.append(f"Outside the guardrails: {breaching}.")
    if board.unheld:
        said.append(
            f"Guardrails that hold nothing, for these users make no such slice: {', '.join(board.unheld)}."
        )
    compared_models = {row.model for row in board.rows}
    failed = [one.model for one in board.failures if one.model not in compared_models]
    if failed:
        said.append(f"Failed, and so not compared: {', '.join(failed)}.")
    unfitted = [one.model for one in board.failures if one.model in compared_models]
    if unfitted:
        said.append(f"Compared, but failed since: {', '.join(unfitted)}.")
    compared = sum(row.difference is not None for row in board.rows)
    beating = sum(row.mark == "beats" for row in board.rows)
    if compared:
        said.append(f"{beating} of {compared} models beat {board.problem.baseline}, the baseline.")
    else:
        said.append(f"There is nothing to compare with the baseline, {board.problem.baseline}.")
    return " ".join(said)
