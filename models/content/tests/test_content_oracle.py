"""The model against its equation, written out slowly; cold items, cold users and dislikes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from tastemaker.errors import PluginError
from tastemaker.plugins import Batch, Events, History, ItemAttributes, TrainingData
from tastemaker_content.content import ContentBased

TITLES = ["Red mug", "RED, red cup", "Green tea", "Black tea", "", "tea mug"]
CATEGORIES = ["ware", "ware", "drinks", "drinks", "", ""]
BRANDS = ["Ö", "", "", "", "Ö", ""]
N = len(TITLES)
SEEN = [(0, 0, 2.0), (0, 2, -1.0), (1, 1, 1.0), (2, 4, 1.0), (3, 2, -1.0), (4, 0, 0.5), (5, 3, 1.0)]
"""User, item, reward. Item 5 is cold; user 2 had an item without words; user 6 nothing."""
N_USERS = 7


def data(items: ItemAttributes | None = None) -> TrainingData:
    users, numbers, rewards = zip(*SEEN, strict=True)
    events = Events(
        np.array(users, np.int32),
        np.array(numbers, np.int32),
        np.array(rewards, np.float32),
        np.arange(len(SEEN), dtype=np.int64),
    )
    known = ItemAttributes.of([f"i{n}" for n in range(N)], title=TITLES, category=CATEGORIES, brand=BRANDS)
    return TrainingData(events, N_USERS, N, end=len(SEEN), items=known if items is None else items)


def scores(model: ContentBased, history: History) -> list[list[float]]:
    """Every item's score for each row."""
    n = len(history)
    batch = Batch(np.full(n, -1, np.int32), history, np.zeros(n, np.uint64), now=99)
    items, found, _ = model.recommend(batch, N)
    return [
        [float(row[list(order).index(item)]) for item in range(N)]
        for order, row in zip(items, found, strict=True)
    ]


def words(item: int, brands: bool = False) -> Counter[str]:
    found = Counter(TITLES[item].lower().replace(",", "").split())
    for value in (CATEGORIES[item], BRANDS[item] if brands else ""):
        if value:
            found[f"label {value}"] += 1
    return found


def vectors(brands: bool = False) -> list[dict[str, float]]:
    """x, by the equation in the class's docstring."""
    bags = [words(item, brands) for item in range(N)]
    having = Counter(word for bag in bags for word in bag)
    made = []
    for bag in bags:
        raw = {
            word: (1 + math.log(count)) * (math.log((1 + N) / (1 + having[word])) + 1)
            for word, count in bag.items()
        }
        length = math.hypot(*raw.values())
        made.append({word: value / length for word, value in raw.items()})
    return made


def expected(user: int, popularity: float, brands: bool = False) -> list[float]:
    """s, by the equation."""
    x, profile = vectors(brands), Counter[str]()
    for who, item, reward in SEEN:
        for word, value in x[item].items():
            profile[word] += reward * value * (who == user)  # type: ignore[assignment]
    length = math.hypot(*profile.values())
    net = [sum(math.copysign(1, r) for _, item, r in SEEN if item == wanted) for wanted in range(N)]
    prior = [math.copysign(math.log1p(abs(c)), c) / math.log1p(max(map(abs, net))) if c else 0 for c in net]
    if not length:
        return last_is_last([(popularity or 1) * one for one in prior])
    cosines = [sum(value * profile[word] for word, value in one.items()) / length for one in x]
    return last_is_last([cosine + popularity * one for cosine, one in zip(cosines, prior, strict=True)])


def last_is_last(found: list[float]) -> list[float]:
    """Item 2 is disliked by two users and liked by none."""
    return [min(found) - 1 if item == 2 else score for item, score in enumerate(found)]


@pytest.mark.parametrize("popularity", [0.0, 0.3])
@pytest.mark.parametrize("brands", [False, True])
def test_scores_are_those_of_the_equation(popularity: float, brands: bool) -> None:
    labels = ("category", "brand") if brands else ("category",)
    train = data()
    model = ContentBased(popularity=popularity, labels=labels).fit(train)
    for user, found in enumerate(scores(model, train.history)):
        assert found == pytest.approx(expected(user, popularity, brands), abs=1e-6), user


def test_a_cold_item_is_recommended_by_its_words() -> None:
    model = ContentBased(popularity=0.0).fit(data())
    past = Events(
        np.zeros(1, np.int32), np.array([3], np.int32), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    (found,) = scores(model, History.from_events(past, 1, N))
    order = sorted(range(N), key=lambda item: -found[item])
    assert order[:2] == [3, 5], "the tea, then the tea mug"
    assert order[-1] == 2, "the tea that no user likes"
    session = Events(
        np.zeros(1, np.int32), np.array([5], np.int32), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    (found,) = scores(model, History.from_events(session, 1, N))
    assert min(found[0], found[3]) > max(found[1], found[4]), "a mug and a tea before what is neither"


def test_a_dislike_lowers_similar_items() -> None:
    train = data()
    model = ContentBased(popularity=0.0).fit(train)
    disliked = scores(model, train.history)[3]
    assert disliked[2] == min(disliked) < disliked[3], "the item itself"
    assert -1 < disliked[3] < 0, "the other tea"
    assert disliked[4] == 0, "nothing is said of this one"


def test_a_like_and_a_dislike_of_the_same_words_cancel() -> None:
    """Items 0 and 3 alike in all: then nothing is known of the user's taste, and popularity answers."""
    alike = ItemAttributes.of([f"i{n}" for n in range(N)], title=["Red mug"] * 4 + ["tea"] * 2)
    model = ContentBased().fit(data(alike))
    past = Events(
        np.zeros(2, np.int32), np.array([0, 3], np.int32), np.array([0.7, -0.7], np.float32), np.arange(2)
    )
    assert scores(model, History.from_events(past, 1, N)) == scores(model, History.empty(1, N))


def test_unknown_users_get_popular_items_and_disliked_ones_last() -> None:
    model = ContentBased(popularity=0.0).fit(data())
    (found,) = scores(model, History.empty(1, N))
    assert found[0] == max(found) == 1
    assert found[2] == min(found) < 0


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(
        PluginError, match="no column 'colour'; the columns are: title, category, price, brand"
    ):
        ContentBased(labels=("colour",)).fit(data())
