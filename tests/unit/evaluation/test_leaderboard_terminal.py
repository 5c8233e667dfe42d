"""The short leaderboard: one line per group of similar models, on a screen of any width."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from support.leaderboards import made_up
from tastemaker.evaluation.failures import Failure
from tastemaker.evaluation.leaderboard import formatting, terminal
from tastemaker.evaluation.leaderboard.groups import groups, ranks_of
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.problem import Guardrail

pytestmark = pytest.mark.slow
TIMESTAMP = datetime(2026, 1, 1, tzinfo=UTC)


def shown_brief(board: Leaderboard, columns: int) -> list[str]:
    console = Console(width=columns, file=io.StringIO(), record=True, highlight=False)
    terminal.show(board, console, brief=True)
    return console.export_text().splitlines()


USUAL = {
    "ranker": 0.30, "ials": 0.22, "ease": 0.2195, "bought_again": 0.219, "item_knn": 0.18, "bpr": 0.178,
    "content": 0.15, "lin_thompson": 0.12, "thompson": 0.1199, "lin_ucb": 0.1198, "ucb1": 0.1197,
    "epsilon_greedy": 0.1196, "trending": 0.1195, "popularity": 0.11, "random": 0.01,
}  # fmt: skip


def test_a_usual_board_fits_a_screen() -> None:
    lines = shown_brief(made_up(USUAL, guardrails=[Guardrail(metric="coverage", at_least=0.2)]), 80)
    assert len(lines) + 1 <= 24, "and the line that names --all"
    assert max(map(cell_len, lines)) <= 80
    assert any(line.startswith("2–4 ") and "ease, ials," in line for line in lines), lines
    assert any("the others do not differ significantly" in line for line in lines)


ODD = {"一个名字很长的推荐模型" * 3: 0.3, "x" * 64: 0.299, "[bold]odd[/bold]": 0.2, "popularity": 0.1}


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("users", [5, 400])
@pytest.mark.parametrize("means", [USUAL, ODD], ids=["usual", "odd"])
def test_nothing_is_cut_off_in_the_short_table(means: dict[str, float], users: int, columns: int) -> None:
    board = made_up(means, users=users, name="商店 [red]&[/red]")
    lines = shown_brief(board, columns)
    assert max(map(cell_len, lines)) <= columns
    column = [line.split()[0] for line in lines if line.strip()]
    text = "".join("".join(lines).split())
    for group in groups(board):
        first = group[0]
        assert formatting.ranks(ranks_of(group)) in column
        assert formatting.number(first.backtest.metrics["ndcg"].value) in text
        if first.difference is not None:
            assert formatting.number(first.difference.difference, signed=True) in text
        for row in group:
            assert len(row.model) > 30 or any(row.model in line for line in lines)
    signs = "".join(lines)
    assert all(
        signs.count(sign) >= 2 * model.count(sign) for model in means for sign in set(model) - set(" ")
    )


@given(
    st.lists(st.floats(0, 0.5), min_size=1, max_size=9),
    st.sampled_from([5, 60]),
)
@settings(max_examples=20, deadline=None)
def test_groups_keep_every_model_and_its_order(means: list[float], users: int) -> None:
    board = made_up({f"model {at}": mean for at, mean in enumerate(means)} | {"popularity": 0.1}, users=users)
    found = groups(board)
    assert [row for group in found for row in group] == list(board.rows)
    places = {model: at for at, model in enumerate(board.models)}
    for group, following in zip(found, [*found[1:], ()], strict=True):
        better = board.pairs.better[places[group[0].model]]
        assert not any(better[places[row.model]] for row in group)
        assert all(better[places[row.model]] for row in following[:1])
        assert ranks_of(group).first <= min(row.ranks.first for row in group)
        assert ranks_of(group).last >= max(row.ranks.last for row in group)


def test_guardrails_and_failures_are_a_line_each_in_the_short_table() -> None:
    board = made_up(USUAL, guardrails=[Guardrail(metric="coverage", at_least=0.25)])
    failed = Failure(
        "content", "ValueError: no titles\n  in content.py, line 3", datetime(2026, 1, 1, tzinfo=UTC)
    )
    lines = shown_brief(replace(board, failures=(failed,)), 200)
    kept = [row.model for row in board.rows if not row.breaches]
    (guardrail,) = [line for line in lines if line.startswith("✖ guardrail")]
    assert guardrail.startswith("✖ guardrail Coverage at least 0.2500: ")
    assert guardrail.count(",") + 1 == len(board.rows) - len(kept)
    assert [line for line in lines if line.startswith("✖ failed")] == [
        "✖ failed content: ValueError: no titles …"
    ]
