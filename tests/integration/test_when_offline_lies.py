"""The page on offline figures that lie: its code prints what it says, its claims hold, its pictures fit."""

from __future__ import annotations

import json
import runpy
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from PIL import Image

from support.repository import ROOT

DOCS = ROOT / "docs"


class Executed:
    """The page, run once."""

    def __init__(self) -> None:
        self.script = runpy.run_path(str(DOCS / "explanation" / "when_offline_lies.py"))
        self.page = (DOCS / "explanation" / "when-offline-lies.md").read_text("utf-8")
        self.now, self.left = self.script["execute"](self.page)
        self.figures: dict[str, dict[str, list[float]]] = self.script["figures"](self.left)


@pytest.fixture(scope="module")
def executed() -> Executed:
    return Executed()


def test_the_page_says_what_its_code_prints(executed: Executed) -> None:
    assert executed.now == executed.page


def test_the_pictures_are_drawn_from_these_figures(executed: Executed, tmp_path: Any) -> None:
    for name, drawn in executed.figures.items():
        path = DOCS / "images" / f"lie_{name}.png"
        with Image.open(path) as kept:
            assert json.loads(str(kept.info["figures"])) == drawn
        executed.script["draw"](name, drawn, tmp_path / "again.png")
        again = image.imread(tmp_path / "again.png")
        assert again.shape == image.imread(path).shape
        assert float(np.ptp(again[..., :3])) == 1.0  # not a blank sheet


def test_clicks_per_showing_rank_the_worst_banner_first_and_snips_does_not(executed: Executed) -> None:
    drawn = executed.figures["position"]
    assert np.argmax(drawn["truth"]) == 0
    assert np.argmax(drawn["ctr"]) == np.argmin(drawn["truth"]) == 3
    worse, better = drawn["by clicks per showing"], drawn["by clicks on top"]
    assert worse[0] < better[0]
    assert worse[3] < better[2]  # the intervals tell them apart
    assert all(low <= truth <= high for truth, _value, low, high in (worse, better))


def test_a_popular_log_flatters_popularity_and_a_drawn_one_does_not(executed: Executed) -> None:
    drawn = executed.figures["popularity"]
    assert drawn["popularity"][0] > 10 * drawn["random"][0]
    assert drawn["popularity"][1] < 1.15 * drawn["random"][1]
    assert drawn["ease"][0] > drawn["bpr"][0]
    assert drawn["ease"][1] < drawn["bpr"][1]
    for name in ("popularity", "ease", "bpr"):
        _value, low, high = drawn[f"log {name}"]
        assert low <= drawn[name][1] <= high


def test_hits_of_repeats_are_bought_anyway(executed: Executed) -> None:
    drawn = executed.figures["repeats"]
    assert drawn["bought_again, True"][0] > 3 * drawn["item_knn, True"][0]
    assert drawn["bought_again, True"][1] < 0.6 * drawn["item_knn, True"][1]
    without = [drawn[f"{name}, False"] for name in ("popularity", "bought_again", "item_knn")]
    assert np.argmax(without, axis=0).tolist() == [2, 2]


def test_a_random_split_turns_the_order_round(executed: Executed) -> None:
    at_random, by_time, truth = np.transpose(list(executed.figures["leakage"].values()))
    popularity, trending, ials, bought_again = range(4)
    assert at_random[ials] > at_random[bought_again]
    assert by_time[ials] < by_time[bought_again]
    assert truth[ials] < truth[bought_again]
    assert at_random[trending] <= at_random[popularity]
    assert by_time[trending] > 2 * by_time[popularity]
    assert np.argsort(by_time).tolist() == np.argsort(truth).tolist()
