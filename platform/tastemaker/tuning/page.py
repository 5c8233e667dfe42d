"""Search result as a page: the config that is used and why, the trials, and the test period."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.html import Page, below, embedded, join, render, table
from tastemaker.tuning.outcome import TuningResult
from tastemaker.tuning.report import best_first, on_the_test_period, written
from tastemaker.util.atomic_files import atomic_write


def write_page(found: TuningResult, picture: Path, path: Path) -> None:
    """Write the page with the plot; it has no script and needs nothing from the network.

    Args:
        found: The result of the search.
        picture: The plot, a PNG.
        path: Of the HTML page.
    """
    start, cut, end = found.window
    page = Page(
        title=f"Tuning: {found.model}",
        summary=f"{found.why[0].upper()}{found.why[1:]}.",
        rows=f"{len(found.trials)} trials, trained on {formatting.days(start, cut)}, evaluated on "
        f"{formatting.days(cut, end)}; then {found.backtest.users:,} users of the test period, "
        f"{formatting.days(found.backtest.train_end, found.backtest.test_end)}",
        made_at=datetime.now(UTC),
        body=_body(found, picture),
    )
    with atomic_write(path) as partial:
        partial.write_text(render(page), "utf-8")


def _body(found: TuningResult, picture: Path) -> Markup:
    name = formatting.title(found.metric, found.k)
    failed = sum(trial.value is None for trial in found.trials)
    return join(
        [
            embedded(picture, f"{name} of each trial, and against each hyperparameter"),
            Markup("<h2>On the test period</h2>"),
            _test(found, name),
            Markup('<p class="basis">{}</p>').format(on_the_test_period(found)),
            Markup("<h2>Trials, the best first</h2>"),
            _trials(found, name),
            Markup('<p class="basis">{}</p>').format(f"{failed} more failed." if failed else ""),
        ]
    )


def _test(found: TuningResult, name: str) -> Markup:
    before, after = (one.metrics[found.metric] for one in (found.base_backtest, found.backtest))
    rows = [
        [label, below(formatting.number(figure.value), formatting.span(figure))]
        for label, figure in (("before", before), ("found", after))
    ]
    value = formatting.number(found.difference.difference, signed=True)
    rows.append(["difference, paired", below(value, formatting.span(found.difference, signed=True))])
    return table(["Config", name], rows)


def _trials(found: TuningResult, name: str) -> Markup:
    rows = []
    for trial in best_first(found):
        noted = [word for word, one in (("best", found.best), ("before", found.trial_before)) if trial == one]
        number = ", ".join([str(trial.number), *noted])
        rows.append([number, formatting.number(trial.figure), written(trial.params)])
    return table(["Trial", name, "Config"], rows, classes={2: "text"})
