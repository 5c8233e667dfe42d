"""What models get to know of items and users: by number, typed, and as it was at the window's end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.small_lakes import DAY, START, Row, make_lake, make_problem
from tastemaker.data.lake import Lake
from tastemaker.data.tables import HISTORY, ITEM_CHANGES, USERS
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import PluginError
from tastemaker.plugins import Attributes, Events, ItemAttributes, TrainingData

ROWS = [
    Row("ä", "cup", 0),
    Row("b", "鍋", DAY, "view"),
    Row("ä", "鍋", 2 * DAY, "return"),
    Row("c", "tea", 5 * DAY),
    Row("b", "cup", 6 * DAY),
]
CUP = {"item_id": "cup", "title": "Red cup", "category": "ware", "price": 4.5}
TEA = {"item_id": "tea", "title": "Green tea", "category": "drinks", "price": None}


def timestamp(seconds: int) -> datetime:
    return datetime.fromtimestamp(START, UTC) + timedelta(seconds=seconds)


def listed(item: dict[str, Any], seconds: int = 0, **own: str | None) -> dict[str, Any]:
    return item | {"first_seen_at": timestamp(seconds), "own": list(own.items()) or None}


ITEMS = [
    listed(CUP, grams="300", brand="Ö", code="007"),
    listed(TEA, 5 * DAY, grams=None, brand="", code="1"),
    listed({"item_id": "unsold"}, DAY, grams="1.5e2", brand="x" * 300, code=None),
]


def load(root: Path, items: list[dict[str, Any]] = ITEMS) -> Dataset:
    lake = make_lake(root, ROWS, items)
    users = [
        {"user_id": "ä", "country": "France", "first_seen_at": timestamp(0), "own": [("age", "41")]},
        {"user_id": "b", "country": None, "first_seen_at": timestamp(0), "own": [("age", None)]},
        {"user_id": "u9", "country": "Chad", "first_seen_at": timestamp(0), "own": None},
    ]
    lake.write("users", pa.Table.from_pylist(users, schema=USERS))
    return Dataset.load(lake, make_problem(split={"test_days": 3}))


def test_entries_are_those_of_the_numbers(tmp_path: Path) -> None:
    data = load(tmp_path).training()
    assert data.items.ids == ("cup", "tea", "unsold", "鍋")
    assert data.items.columns == ("title", "category", "price", "brand", "code", "grams")
    assert data.items.titles == ("Red cup", "Green tea", "", "")
    assert data.items.categories.names == ("drinks", "ware")
    assert data.items.categories.codes.tolist() == [1, 0, -1, -1]
    np.testing.assert_array_equal(data.items.column("price"), [4.5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(data.items.column("grams"), [300, np.nan, 150, np.nan])
    assert data.items.column("brand") == ("Ö", "", "x" * 300, "")
    assert data.items.column("code") == ("007", "1", "", ""), "text keeps leading zeros"
    assert data.users.ids == ("b", "c", "ä")
    assert data.users.columns == ("country", "age")
    assert data.users.text("country") == ("", "", "France")
    np.testing.assert_array_equal(data.users.numbers("age"), [np.nan, np.nan, 41])
    events = data.events
    assert [events.type_names[code] for code in events.types] == [row.type for row in ROWS]


def test_what_is_handed_out_is_read_only(tmp_path: Path) -> None:
    items = load(tmp_path).training().items
    for array in (items.column("price"), items.numbers("grams"), items.categories.codes):
        assert isinstance(array, np.ndarray)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_backtest_sees_no_item_and_no_user_of_its_future(tmp_path: Path) -> None:
    train = load(tmp_path).split().train
    assert train.items.ids == ("cup", "unsold", "鍋")
    assert train.items.titles == ("Red cup", "", "")
    assert train.items.categories.names == ("ware",), "nor a category that only a later item has"
    assert (train.n_items, train.users.ids) == (3, ("b", "ä"))
    np.testing.assert_array_equal(train.users.numbers("age"), [np.nan, 41])


def reported(lake: Lake, *changes: tuple[str, int, str, float]) -> None:
    rows = [
        {"item_id": item, "received_at": timestamp(at), "title": title, "price": price, "available": True}
        for item, at, title, price in changes
    ]
    lake.write(HISTORY, pa.Table.from_pylist(rows, schema=ITEM_CHANGES))


def test_items_that_callers_reported_have_the_state_of_the_cutoff(tmp_path: Path) -> None:
    """The pot was reported three times; the cup, which the shop's table has, has only today's row."""
    pot = listed({"item_id": "鍋", "title": "Black pot", "category": None, "price": 30.0})
    load(tmp_path, [listed(CUP), pot])
    reported(
        Lake(tmp_path),
        ("鍋", 0, "Pot", 10.0),
        ("鍋", 2 * DAY, "Iron pot", 20.0),
        ("鍋", 4 * DAY, "Black pot", 30.0),
    )
    data = Dataset.load(Lake(tmp_path), make_problem(split={"test_days": 3}))
    for end, title, price in (
        (2 * DAY, "Pot", 10),
        (2 * DAY + 1, "Iron pot", 20),
        (9 * DAY, "Black pot", 30),
    ):
        for known in (data.training(START + end), data.before(START + end).training()):
            items = known.items
            assert items.text("title")[-1] == title
            assert items.text("title")[0] == "Red cup"
            assert items.numbers("price")[-1] == price
            assert items.ids[-1] == "鍋"
    assert data.before(START + 5 * DAY).training(START + 2 * DAY).items.titles[-1] == "Pot"


def test_an_item_is_unknown_before_its_first_report(tmp_path: Path) -> None:
    load(tmp_path, [listed(CUP), listed({"item_id": "鍋", "title": "Pot"}, DAY)])
    reported(Lake(tmp_path), ("鍋", 4 * DAY, "Pot", 10.0))
    data = Dataset.load(Lake(tmp_path), make_problem(split={"test_days": 3}))
    assert data.split().train.items.titles == ("Red cup", "")
    assert data.training().items.titles[-1] == "Pot"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        listed(CUP | {"title": "Blue cup"}, grams="300", brand="Ö", code="007"),
        listed(CUP | {"category": None}, grams="300", brand="Ö", code="007"),
        listed(CUP | {"price": 4.25}, grams="300", brand="Ö", code="007"),
        listed(CUP, grams="30", brand="Ö", code="007"),
        listed(CUP, grams="300", brand="", code="007"),
        listed(CUP, grams="300", brand="Ö"),
    ],
)
def test_the_hash_knows_what_is_said(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Of all data, and of data that was cut off after the change."""
    one, same, other = (
        load(tmp_path / name, [item, *ITEMS[1:]])
        for name, item in (("one", ITEMS[0]), ("same", ITEMS[0]), ("other", changed))
    )
    end = START + 2 * DAY
    assert one.data_hash == same.data_hash != other.data_hash
    assert one.before(end).data_hash == same.before(end).data_hash != other.before(end).data_hash
    assert one.split().data_hash != other.split().data_hash


def test_what_is_said_of_later_items_does_not_change_earlier_data(tmp_path: Path) -> None:
    one = load(tmp_path / "one")
    other = load(tmp_path / "other", [ITEMS[0], listed(TEA | {"title": "Black tea"}, 5 * DAY), ITEMS[2]])
    assert one.data_hash != other.data_hash
    assert one.before(START + 2 * DAY).data_hash == other.before(START + 2 * DAY).data_hash


def test_the_hash_knows_the_type_of_an_event(tmp_path: Path) -> None:
    """Two types that count the same are still two."""
    problem = make_problem()
    (_, engagement) = problem.objectives
    both = engagement.model_copy(
        update={"events": dict.fromkeys(("view", "click"), engagement.events["view"])}
    )
    problem = problem.model_copy(update={"objectives": (both,)})
    hashes = [
        Dataset.load(make_lake(tmp_path / kind, [Row("a", "1", 0, kind)]), problem).data_hash
        for kind in ("view", "click")
    ]
    assert hashes[0] != hashes[1]


def test_an_unknown_column_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    items = load(tmp_path).training().items
    for ask in (items.column, items.text, items.numbers, items.categorical):
        with pytest.raises(
            PluginError, match="no column 'colour'; the columns are: title, category, price, brand"
        ):
            ask("colour")


def test_a_shop_without_a_catalogue(tmp_path: Path) -> None:
    data = Dataset.load(make_lake(tmp_path, ROWS), make_problem()).training()
    assert data.items.columns == ("title", "category", "price")
    assert data.items.titles == ("", "", "")
    assert data.items.categories.names == ()
    assert data.items.categories.codes.tolist() == [-1, -1, -1]
    assert np.isnan(data.items.numbers("price")).all()
    assert data.users.columns == ("country",)


def test_vectors_that_were_computed_elsewhere() -> None:
    items = ItemAttributes.of("abcd", embedding=["[0.5, -1e-3]", "", "2 3", "( 4;5 )"], none=[""] * 4)
    found = items.vectors("embedding")
    np.testing.assert_array_equal(
        found, np.array([[0.5, -1e-3], [np.nan] * 2, [2, 3], [4, 5]], np.float32), strict=True
    )
    assert not found.flags.writeable
    assert items.vectors("none").shape == (4, 0)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[1]", "of b holds 1 numbers, the first has 2"),
        ("[1, 2, 3]", "of b holds 3 numbers, the first has 2"),
        ("[]", "of b holds no list of numbers"),
        ("[1, x]", "of b holds no list of numbers"),
        ("[1, NaN]", "of b holds no list of numbers"),
        ("[1, NULL]", "of b holds no list of numbers"),
    ],
)
def test_vectors_that_are_none(value: str, problem: str) -> None:
    with pytest.raises(PluginError, match=problem) as caught:
        ItemAttributes.of("ab", embedding=["[1, 2]", value]).vectors("embedding")
    assert caught.value.fix


def test_the_first_vector_may_be_the_wrong_one() -> None:
    with pytest.raises(PluginError, match="'embedding' of a holds no list of numbers"):
        ItemAttributes.of("ab", embedding=["x", "[1]"]).vectors("embedding")


def test_attributes_made_by_hand() -> None:
    items = ItemAttributes.of(["a", "b"], title=["A", ""], weight=[1, 2.5])
    assert items.columns == ("title", "category", "price", "weight")
    assert items.text("weight") == ("1", "2.5")
    assert items.categorical("weight").names == ("1", "2.5")
    with pytest.raises(PluginError, match="column 'weight' has 1 values for 2 ids"):
        Attributes.of(["a", "b"], weight=[1])


def test_training_data_made_by_hand_knows_ids_alone() -> None:
    one = np.zeros(1, np.int32)
    events = Events(one, one, np.ones(1, np.float32), np.zeros(1, np.int64))
    data = TrainingData(events, n_users=1, n_items=3, end=1)
    assert (data.items.ids, data.items.titles, data.users.ids) == (("0", "1", "2"), ("", "", ""), ("0",))
    assert (events.types.tolist(), events.type_names) == ([0], ("event",))
    assert events[:0].types.tolist() == []
    with pytest.raises(PluginError, match="attributes of 1 items were given for 3"):
        TrainingData(events, n_users=1, n_items=3, end=1, items=ItemAttributes.of(["a"]))
