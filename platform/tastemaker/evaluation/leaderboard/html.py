"""Leaderboard as one HTML file: no script, nothing from the network, readable in light and dark."""

from __future__ import annotations

from datetime import UTC, datetime
from inspect import getdoc

from markupsafe import Markup

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.leaderboard.forest_plot import forest
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard, LeaderboardRow
from tastemaker.evaluation.metrics import METRICS, coverage
from tastemaker.evaluation.slices import SliceRow
from tastemaker.evaluation.verdicts import Standing, Verdict
from tastemaker.html import Page, below, cell, join, shell, table

SYMBOLS: dict[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "tied": "●",
    "baseline": "◆",
    "not compared": "○",
}
STANDINGS: dict[Standing, str] = {"best": "★", "tied with the best": "☆", "worse": "·"}
"""Symbols differ by shape, not by colour alone."""
_METHOD = Markup("""<p class="basis">★ best: the best figure. ☆ tied with the best: the difference from the
best is not significant.
Two models differ significantly if a paired permutation test and a paired bootstrap test over users both say
so, each with Holm's correction over the pairs of candidates and the baseline: the chance of any false
difference among them is at most 5 %. Random lists are not a candidate. Without an interval no difference is
significant. p is the larger of the two p-values, corrected. A model's ranks are all those that the tests
leave possible: models that do not differ significantly share ranks. Intervals are of one figure or one pair
alone, not corrected.</p>""")

_BREACH = Markup('<span class="breach">✖ {}</span>')


def render(board: Leaderboard, made_at: datetime | None = None) -> str:
    """Return the leaderboard's page.

    Args:
        board: The leaderboard to show.
        made_at: The time that the page shows; None for now.
    """
    body = join(
        [
            _plots(board),
            Markup("<h2>Models</h2>"),
            _summary(board),
            _failures(board),
            _every_metric(board),
            _slices(board),
            _seeds(board),
            Markup("<h2>What the figures mean</h2>"),
            _glossary(),
            _METHOD,
            Markup("<h2>Every pair</h2>"),
            _comparisons(board),
        ]
    )
    return shell.render(
        Page(
            title=f"Leaderboard: {board.problem.name}",
            summary=formatting.summary(board),
            rows=formatting.basis(board),
            made_at=made_at or datetime.now(UTC),
            body=body,
        )
    )


def fragment(board: Leaderboard) -> str:
    """Return the summary, the plot, the models and the slices, for a notebook's cell."""
    said = Markup('<p class="summary">{}</p>\n<p class="basis">{}</p>').format(
        formatting.summary(board), formatting.basis(board)
    )
    return cell(join([said, _plots(board), _summary(board), _failures(board), _slices(board)]))


def _plots(board: Leaderboard) -> Markup:
    return Markup("""<figure>
<div class="panels">
{}
</div>
<figcaption>Point: mean over users. Bar: 95 % interval. Differences are paired: the same users,
the model minus {}.</figcaption>
</figure>""").format(forest(board), board.problem.baseline)


def _summary(board: Leaderboard) -> Markup:
    heads = [
        "Ranks",
        "Model",
        "Standing",
        formatting.title(board.metric, board.k),
        f"Difference from {board.problem.baseline}",
    ]
    heads += ["Guardrails", "Training", "Scoring", "Artifact"]
    return table(heads, [_summary_row(board, row) for row in board.rows], classes={1: "name"})


def _summary_row(board: Leaderboard, row: LeaderboardRow) -> list[str]:
    backtest, figure = row.backtest, row.backtest.metrics[board.metric]
    difference = row.difference
    return [
        formatting.ranks(row.ranks),
        Markup("{} {}").format(_name(row), _verdict(row.verdict)),
        below(f"{STANDINGS[row.standing]} {row.standing}", formatting.chance(row.p_best)),
        below(formatting.number(figure.value), formatting.span(figure)),
        "" if difference is None else below(
            formatting.number(difference.difference, signed=True),
            f"{formatting.span(difference, signed=True)}, {formatting.chance(row.p)}",
        ),
        join((_BREACH.format(formatting.breach(one)) for one in row.breaches), Markup("<br/>"))
        or ("kept" if board.problem.guardrails or board.problem.slices.max_loss else "none set"),
        formatting.seconds(backtest.train_seconds),
        formatting.seconds(backtest.score_seconds),
        formatting.size(backtest.artifact_bytes),
    ]  # fmt: skip


def _failures(board: Leaderboard) -> Markup:
    """Return the table of the models that failed, with the reason."""
    if not board.failures:
        return Markup("")
    rows = [
        [
            Markup("<strong>{}</strong>").format(one.model),
            Markup('<span class="breach">{}</span>').format(one.reason),
            f"{one.at:%Y-%m-%d %H:%M} UTC",
        ]
        for one in board.failures
    ]
    return join(
        [
            Markup("<h2>Models that failed</h2>"),
            table(["Model", "Reason", "At"], rows, classes={0: "name", 1: "text"}),
        ]
    )


def _every_metric(board: Leaderboard) -> Markup:
    return join(
        Markup("<h2>{}</h2>\n{}").format(title, _some_metrics(board, names))
        for title, names in formatting.GROUPS.items()
    )


def _some_metrics(board: Leaderboard, names: tuple[str, ...]) -> Markup:
    heads = ["Model"]
    for name in names:
        better = "" if METRICS[name].larger_is_better else ", less is better"
        heads.append(below(formatting.title(name, board.k), f"{METRICS[name].unit}{better}"))
    rows = []
    for row in board.rows:
        figures = [row.backtest.metrics[name] for name in names]
        cells = [below(formatting.number(figure.value), formatting.span(figure)) for figure in figures]
        rows.append([_name(row), *cells])
    return table(heads, rows, classes={0: "name"})


def _slices(board: Leaderboard) -> Markup:
    """Return one table per dimension: each model's figure and its difference from the baseline."""
    if not board.slices:
        return Markup("")
    parts = [Markup("<h2>{} in slices</h2>").format(formatting.title(board.metric, board.k))]
    for dimension in dict.fromkeys(one.dimension for one in board.slices):
        slices = [one for one in board.slices if one.dimension == dimension]
        heads = [below(one.name, f"{one.users:,} users") for one in slices]
        rows = [
            [_name(row), *(_in_slice(one.rows[at]) for one in slices)] for at, row in enumerate(board.rows)
        ]
        parts.append(table(["Model", *heads], rows, classes={0: "name"}))
    parts.append(
        Markup(
            '<p class="basis">Symbols: compared with {} in that slice, by a paired '
            "permutation test with Holm's correction over all slices and candidates. In a slice of the items "
            "only its items count as relevant, for the users with a relevant item in it.</p>"
        ).format(board.problem.baseline)
    )
    return join(parts)


def _seeds(board: Leaderboard) -> Markup:
    """Return the table of the spread over seeds, for the models for which it was measured."""
    rows = [
        [_name(row), *formatting.seeds(row.seeds, board.metric, row.backtest.metrics[board.metric])]
        for row in board.rows
        if row.seeds
    ]
    if not rows:
        return Markup("")
    return Markup(
        "<h2>{} with other seeds</h2>\n{}"
        '<p class="basis">An interval over users does not include the variation between fits: where the '
        "spread over seeds is the larger, two models may differ because of their seeds alone.</p>"
    ).format(
        formatting.title(board.metric, board.k),
        table(["Model", *formatting.SEED_HEADS], rows, classes={0: "name"}),
    )


def _in_slice(row: SliceRow) -> Markup:
    shown = below(formatting.number(row.figure.value), formatting.span(row.figure))
    if row.difference is None:
        return shown
    value = f"{SYMBOLS[row.verdict]} {formatting.number(row.difference.difference, signed=True)}"
    small = f"{formatting.span(row.difference, signed=True)}, {formatting.chance(row.p)}"
    return Markup('{}<span class="{}">{}</span><small>{}</small>').format(shown, row.verdict, value, small)


def _comparisons(board: Leaderboard) -> Markup:
    heads = ["Better figure", "Other", "Difference", "p", "Permutation", "Bootstrap", "Verdict"]
    heads[4:6] = (below(one, "p, not corrected") for one in heads[4:6])
    rows = [_pair(board, one, other) for one, other in board.ordered_pairs()]
    return table(heads, rows, classes={0: "name", 1: "name"})


def _pair(board: Leaderboard, one: int, other: int) -> list[str]:
    pairs, difference = board.pairs, board.pairs.difference(one, other)
    figure = formatting.number(difference.difference, signed=True), formatting.span(difference, signed=True)
    return [
        board.models[one],
        board.models[other],
        below(*figure),
        *(formatting.chance(float(p[one, other])) for p in (pairs.p, pairs.p_permutation, pairs.p_bootstrap)),
        "significant" if pairs.better[one, other] else "not significant",
    ]


def _glossary() -> Markup:
    entries = []
    for metric in METRICS.values():
        meaning = (getdoc(metric.per_user or coverage) or "").split("\n\n")[0]
        entries.append(Markup("<dt>{}</dt><dd>{}</dd>").format(metric.title, meaning))
    return Markup("<dl>{}</dl>").format(join(entries, ""))


def _name(row: LeaderboardRow) -> Markup:
    return Markup("<strong>{}</strong>").format(row.model)


def _verdict(verdict: Verdict) -> Markup:
    return Markup('<span class="{}">{} {}</span>').format(
        verdict.replace(" ", "-"), SYMBOLS[verdict], verdict
    )
