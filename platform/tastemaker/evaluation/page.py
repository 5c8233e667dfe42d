"""The leaderboard as one HTML file: no script, nothing from the network, readable in light and dark."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from inspect import getdoc

from tastemaker.evaluation import wording
from tastemaker.evaluation.forest import forest
from tastemaker.evaluation.leaderboard import Leaderboard, Row
from tastemaker.evaluation.marks import Mark, Standing
from tastemaker.evaluation.metrics import METRICS, coverage
from tastemaker.evaluation.slices import SliceRow

SYMBOLS: dict[Mark, str] = {
    "beats": "▲",
    "worse": "▼",
    "tied": "●",
    "the one to beat": "◆",
    "not compared": "○",
}
STANDINGS: dict[Standing, str] = {"best": "★", "tied with the best": "☆", "worse": "·"}
"""Marks are told apart by shape, not by colour alone."""


def render(board: Leaderboard) -> str:
    """The whole page."""
    name = escape(board.problem.name)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Leaderboard: {name}</title>
<style>
{style()}</style>
</head>
<body class="tastemaker">
<main>
<h1>{name}</h1>
{_head(board)}
<h2>Models</h2>
{_summary(board)}
{_failures(board)}
{_every_metric(board)}
{_slices(board)}
{_seeds(board)}
<h2>What the figures mean</h2>
{_glossary()}
<p class="basis">★ best: the best figure. ☆ tied with the best: these users can't tell it from the best.
Two models differ if a paired permutation test and a paired bootstrap test over users both say so, each with
Holm's correction over the pairs of candidates and the baseline: the chance of any false difference among them
is at most 5 %. Random lists are no candidate. Without an interval two models do not differ.
p is the larger of the two, corrected. A model's ranks are all those that this leaves open: models that do not
differ have ranks in common. Intervals are of one figure or one pair alone, not corrected.</p>
<h2>Every pair</h2>
{_comparisons(board)}
</main>
</body>
</html>
"""


def fragment(board: Leaderboard) -> str:
    """The verdict, the plot, the models and the slices, for a notebook's cell."""
    return in_cell(f"{_head(board)}\n{_summary(board)}\n{_failures(board)}\n{_slices(board)}")


def in_cell(body: str) -> str:
    """HTML with the page's own style, which touches nothing else of a notebook."""
    return f'<div class="tastemaker cell">\n<style>\n{style()}</style>\n{body}\n</div>'


def style() -> str:
    """The style sheet; every rule is for what is inside an element of the class `tastemaker`."""
    return files("tastemaker.evaluation").joinpath("page.css").read_text(encoding="utf-8")


def _head(board: Leaderboard) -> str:
    return f"""<p class="verdict">{escape(wording.verdict(board))}</p>
<p class="basis">{escape(wording.basis(board))}</p>
<figure>
{forest(board)}
<figcaption>Mark: mean over users. Bar: 95 % interval. Differences are paired: the same users,
the model minus {escape(board.problem.to_beat)}.</figcaption>
</figure>"""


def _summary(board: Leaderboard) -> str:
    heads = [
        "Ranks",
        "Model",
        "Standing",
        wording.title(board.metric, board.k),
        f"Difference from {board.problem.to_beat}",
    ]
    heads += ["Guardrails", "Training", "Scoring", "Artifact"]
    return table(heads, [_summary_row(board, row) for row in board.rows])


def _summary_row(board: Leaderboard, row: Row) -> list[str]:
    backtest, figure = row.backtest, row.backtest.metrics[board.metric]
    difference = row.difference
    return [
        wording.ranks(row.ranks),
        f"<strong>{escape(row.model)}</strong> {_mark(row.mark)}",
        f"{STANDINGS[row.standing]} {row.standing}<small>{wording.chance(row.p_best)}</small>",
        with_interval(wording.number(figure.value), wording.span(figure)),
        "" if difference is None else with_interval(
            wording.number(difference.difference, signed=True),
            f"{wording.span(difference, signed=True)}, {wording.chance(row.p)}",
        ),
        "<br>".join(f'<span class="breach">✖ {escape(wording.breach(one))}</span>' for one in row.breaches)
        or ("kept" if board.problem.guardrails or board.problem.slices.max_loss else "none set"),
        wording.seconds(backtest.train_seconds),
        wording.seconds(backtest.score_seconds),
        wording.size(backtest.artifact_bytes),
    ]  # fmt: skip


def _failures(board: Leaderboard) -> str:
    """The models that are not compared, and why."""
    if not board.failures:
        return ""
    rows = [
        [
            f"<strong>{escape(one.model)}</strong>",
            f'<span class="breach">{escape(one.reason)}</span>',
            f"{one.at:%Y-%m-%d %H:%M} UTC",
        ]
        for one in board.failures
    ]
    return "<h2>Models that failed</h2>\n" + table(["Model", "Reason", "At"], rows)


def _every_metric(board: Leaderboard) -> str:
    return "\n".join(
        f"<h2>{title}</h2>\n{_some_metrics(board, names)}" for title, names in wording.GROUPS.items()
    )


def _some_metrics(board: Leaderboard, names: tuple[str, ...]) -> str:
    heads = ["Model"]
    for name in names:
        better = "" if METRICS[name].larger_is_better else ", less is better"
        heads.append(f"{wording.title(name, board.k)}<small>{METRICS[name].unit}{better}</small>")
    rows = []
    for row in board.rows:
        figures = [row.backtest.metrics[name] for name in names]
        cells = [with_interval(wording.number(figure.value), wording.span(figure)) for figure in figures]
        rows.append([f"<strong>{escape(row.model)}</strong>", *cells])
    return table(heads, rows)


def _slices(board: Leaderboard) -> str:
    """A table a dimension: each model's figure in each slice, and how far the one to beat is there."""
    if not board.slices:
        return ""
    title = wording.title(board.metric, board.k)
    parts = [f"<h2>{title} in slices</h2>"]
    for dimension in dict.fromkeys(one.dimension for one in board.slices):
        slices = [one for one in board.slices if one.dimension == dimension]
        heads = [f"{escape(one.name)}<small>{one.users:,} users</small>" for one in slices]
        rows = [
            [f"<strong>{escape(row.model)}</strong>", *(_in_slice(one.rows[at]) for one in slices)]
            for at, row in enumerate(board.rows)
        ]
        parts.append(table(["Model", *heads], rows))
    parts.append(
        f'<p class="basis">Marks: against {escape(board.problem.to_beat)} in that slice, by a paired '
        "permutation test with Holm's correction over all slices and candidates. In a slice of the items "
        "only its items count as relevant, for the users who have one there.</p>"
    )
    return "\n".join(parts)


def _seeds(board: Leaderboard) -> str:
    """How much chance in training there is, for the models of which that is known."""
    rows = [
        [
            f"<strong>{escape(row.model)}</strong>",
            *wording.seeds(row.seeds, board.metric, row.backtest.metrics[board.metric]),
        ]
        for row in board.rows
        if row.seeds
    ]
    if not rows:
        return ""
    return (
        f"<h2>{wording.title(board.metric, board.k)} with other seeds</h2>\n"
        + table(["Model", *wording.SEED_HEADS], rows)
        + '<p class="basis">An interval over users holds nothing of another fit: where the seeds move a '
        "figure more than the users do, two models may differ by their seeds alone.</p>"
    )


def _in_slice(row: SliceRow) -> str:
    cell = with_interval(wording.number(row.figure.value), wording.span(row.figure))
    if row.difference is None:
        return cell
    value = f"{SYMBOLS[row.mark]} {wording.number(row.difference.difference, signed=True)}"
    small = f"{wording.span(row.difference, signed=True)}, {wording.chance(row.p)}"
    return f'{cell}<span class="{row.mark}">{value}</span><small>{small}</small>'


def _comparisons(board: Leaderboard) -> str:
    heads = ["Better figure", "Other", "Difference", "p", "Permutation", "Bootstrap", "Verdict"]
    heads[4:6] = (f"{one}<small>p, not corrected</small>" for one in heads[4:6])
    return table(heads, [_pair(board, one, other) for one, other in board.couples()])


def _pair(board: Leaderboard, one: int, other: int) -> list[str]:
    pairs, difference = board.pairs, board.pairs.difference(one, other)
    figure = wording.number(difference.difference, signed=True), wording.span(difference, signed=True)
    return [
        escape(board.models[one]),
        escape(board.models[other]),
        with_interval(*figure),
        *(wording.chance(float(p[one, other])) for p in (pairs.p, pairs.p_permutation, pairs.p_bootstrap)),
        "differ" if pairs.better[one, other] else "no difference shown",
    ]


def _glossary() -> str:
    entries = []
    for metric in METRICS.values():
        meaning = (getdoc(metric.per_user or coverage) or "").split("\n\n")[0]
        entries.append(f"<dt>{escape(metric.title)}</dt><dd>{escape(meaning)}</dd>")
    return f"<dl>{''.join(entries)}</dl>"


def with_interval(value: str, interval: str) -> str:
    """A figure with its interval below."""
    return f"{value}<small>{interval}</small>"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def _mark(mark: Mark) -> str:
    return f'<span class="{mark.replace(" ", "-")}">{SYMBOLS[mark]} {mark}</span>'
