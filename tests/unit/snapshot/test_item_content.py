"""Likeness by title, category and price."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tastemaker.snapshot.item_content import Content, Listed

SHOP = [
    Listed("Red paper lantern", "lights", 4.0),
    Listed("Blue paper lantern", "lights", 4.2),
    Listed("Brass candle holder", "lights", 30.0),
    Listed("Wool socks, rød ✓", "clothes", 9.0),
    Listed(None, None, None),
    Listed("", "clothes", math.inf),
]


@pytest.fixture(scope="module")
def content() -> Content:
    return Content.build(SHOP)


def test_a_new_item_is_compared_by_its_words(content: Content) -> None:
    items, scores = content.alike(Listed("Green PAPER lantern", "lights", 4.1), 5)
    assert items.tolist()[:3] == [0, 1, 2]
    assert 0 < scores[2] < scores[1] <= 1
    assert content.alike(Listed("rød", None), 5)[0].tolist() == [3]


def test_an_item_is_most_similar_to_itself(content: Content) -> None:
    for number, item in enumerate(SHOP[:4]):
        items, scores = content.alike(item, 1)
        assert items.tolist() == [number]
        assert scores[0] == pytest.approx(1, abs=1e-5)


def test_items_without_content_are_similar_to_none(content: Content) -> None:
    for unknown in (Listed(), Listed("zyzzyva"), Listed("?!")):
        assert len(content.alike(unknown, 5)[0]) == 0
    assert content.likeness(np.array([4, 5], np.int32))[0].tolist() == [0, 0]


def test_similarity_is_the_cosine(content: Content) -> None:
    rows = content.words.toarray()
    np.testing.assert_allclose(
        content.likeness(np.array([0, 1, 3], np.int32)), (rows @ rows.T)[[0, 1, 3]][:, [0, 1, 3]]
    )


def test_saved_and_loaded(content: Content, tmp_path: Path) -> None:
    content.save(tmp_path)
    loaded = Content.load(tmp_path)
    assert [(loaded.title(n), loaded.category(n)) for n in range(6)] == [
        (item.title or None, item.category) for item in SHOP
    ]
    assert loaded.alike(SHOP[0], 3)[0].tolist() == content.alike(SHOP[0], 3)[0].tolist()


def test_an_empty_catalogue(tmp_path: Path) -> None:
    Content.build([]).save(tmp_path)
    assert len(Content.load(tmp_path).alike(SHOP[0], 3)[0]) == 0
