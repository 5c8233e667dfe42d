"""The page on what experiments can't show: its code prints what it says, and each claim holds."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from support.repository import ROOT

FOLDER = ROOT / "docs" / "explanation"


class Executed:
    """The page, run once."""

    def __init__(self) -> None:
        execute = runpy.run_path(str(FOLDER / "when_offline_lies.py"))["execute"]
        self.page = (FOLDER / "what-experiments-cannot-show.md").read_text("utf-8")
        self.now, self.left = execute(self.page)


@pytest.fixture(scope="module")
def executed() -> Executed:
    return Executed()


def covers(effect: Any, truth: float) -> bool:
    return bool(effect.relative_low <= truth <= effect.relative_high)


def test_the_page_says_what_its_code_prints(executed: Executed) -> None:
    assert executed.now == executed.page


def test_requests_of_one_user_are_not_independent(executed: Executed) -> None:
    found = executed.left["repeated"]
    assert 0.03 <= found["by user"] / 500 <= 0.07
    assert found["by request"] > 4 * found["by user"]


def test_an_item_is_clicked_for_its_place_and_the_lists_hardly_differ(executed: Executed) -> None:
    position = executed.left["position"]
    assert position["B"][0] > 3 * position["A"][0]
    truth = executed.left["attraction"][:, :10]
    examined = executed.left["examination"](10)
    order = executed.left["order"]
    clicks = {name: (examined * truth[:, shown]).sum(axis=1).mean() for name, shown in order.items()}
    assert abs(clicks["B"] / clicks["A"] - 1) < 0.05


def test_novelty_wears_off(executed: Executed) -> None:
    novelty, curious = executed.left["novelty"], executed.left["curious"]
    for (first, last), effect in novelty.items():
        assert covers(effect, curious[first : last + 1].mean() - 1), (first, last)
    assert novelty[0, 6].relative_low > 0
    assert covers(novelty[10, 14], 0.0)


def test_users_who_are_not_mature_make_an_effect_that_there_is_not(executed: Executed) -> None:
    found = executed.left["delayed"]
    assert found["all users so far"].relative_low > 0
    assert covers(found["matured users only"], 0.0)


def test_a_list_earns_what_would_have_been_earned_anyway(executed: Executed) -> None:
    found = executed.left["cannibalized"]
    assert found["list"].relative_low > 1
    assert covers(found["user"], 0.0)


def test_learning_from_one_log_reverses_the_difference(executed: Executed) -> None:
    (shared, shared_error), (own, own_error) = executed.left["interference"].values()
    assert shared + shared_error < 0 < own - own_error
