"""New items: who gets the place, with what probability, and what they never displace."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tastemaker.plugins import History
from tastemaker.serving.ranking.cold_start import UNIFORM_SHARE, ColdStart
from tastemaker.serving.writes.catalog_overrides import NewItem
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.item_content import Content, Listed
from tastemaker.snapshot.snapshot import Snapshot

KNOWN = [Listed(f"{colour} {thing}", thing) for thing in ("lamp", "sock") for colour in ("red", "blue")]
LAMPS, SOCKS = np.array([0, 1], np.int32), np.array([2, 3], np.int32)
NEW = [
    NewItem("n-lamp", 0.0, Listed("green lamp", "lamp")),
    NewItem("n-sock", 0.0, Listed("green sock", "sock")),
    NewItem("n-what", 0.0, Listed()),
]
SEEDS = [int(seed) for seed in np.random.default_rng(0).integers(0, 2**63, 4_000)]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return Snapshot(
        user_ids=IdIndex.build(["ann"]),
        item_ids=IdIndex.build([f"item-{n}" for n in range(len(KNOWN))]),
        history=History.empty(1, len(KNOWN)),
        end=0,
        repeats=True,
        available=None,
        popular=np.arange(len(KNOWN), dtype=np.int32),
        item_features=None,
        data_hash="none",
        content=Content.build(KNOWN),
    )


@pytest.mark.slow
def test_propensities_are_frequencies(snapshot: Snapshot) -> None:
    cold = ColdStart(snapshot, NEW)
    drawn = [cold.draw(seed, LAMPS, but_not=(), among=None) for seed in SEEDS]
    found = Counter(one.item_id for one in drawn if one is not None)
    said = {one.item_id: one.propensity for one in drawn if one is not None}
    assert sum(said.values()) == pytest.approx(1)
    for item_id, propensity in said.items():
        assert abs(found[item_id] / len(SEEDS) - propensity) < 4 * np.sqrt(propensity / len(SEEDS))


def test_what_is_like_the_list_comes_more_often_and_everything_has_a_chance(snapshot: Snapshot) -> None:
    cold = ColdStart(snapshot, NEW)
    said = {}
    for near in (LAMPS, SOCKS):
        for seed in SEEDS[:300]:
            if (one := cold.draw(seed, near, but_not=(), among=None)) is not None:
                said[one.item_id, near is LAMPS] = one.propensity
    assert said["n-lamp", True] > 0.8 > said["n-lamp", False]
    assert said["n-sock", False] > 0.8
    assert said["n-what", True] == pytest.approx(UNIFORM_SHARE / 3)


def test_where_nothing_is_alike_all_are_equal(snapshot: Snapshot) -> None:
    cold = ColdStart(snapshot, NEW)
    one = cold.draw(7, np.empty(0, np.int32), but_not=(), among=None)
    assert one is not None
    assert one.propensity == pytest.approx(1 / 3)


def test_only_what_may_be_shown(snapshot: Snapshot) -> None:
    cold = ColdStart(snapshot, NEW)
    for seed in SEEDS[:100]:
        one = cold.draw(seed, LAMPS, but_not=["n-lamp", "item-0"], among=["n-lamp", "n-sock", "item-1"])
        assert one == ("n-sock", 1.0)
    assert cold.draw(1, LAMPS, but_not=["n-lamp"], among=["n-lamp"]) is None
    assert cold.draw(1, LAMPS, but_not=(), among=[]) is None
    assert ColdStart(snapshot, ()).draw(1, LAMPS, but_not=(), among=None) is None
