"""Features against loops over the log in Python, and the rule that none sees its own time or a later one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import mean, median
from typing import Any, NamedTuple

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.features import ITEM_FEATURES, USER_FEATURES, item_features, user_features
from tastemaker.features.names import ITEM_MEANINGS, USER_MEANINGS

# Ibis 12 still calls what DuckDB 2 has renamed.
pytestmark = pytest.mark.filterwarnings(r"ignore:fetch_\w+\(\) is deprecated:DeprecationWarning")

DAY = 86_400
BEFORE = 20_000 * DAY + DAY // 3
MICROSECOND = 1_000_000

Row = dict[str, Any]
Rows = dict[str, Row]


class Event(NamedTuple):
    user: str
    item: str
    kind: str
    value: float
    time: int
    """Microseconds since 1970 UTC."""


class Known(NamedTuple):
    text: str | None
    """A user's country or an item's category."""
    time: int
    """Microseconds since 1970 UTC."""


class Shop(NamedTuple):
    events: list[Event]
    users: dict[str, Known]
    items: dict[str, Known]


users_ids = st.sampled_from(["anna", "бо", "c", "d"])
items_ids = st.sampled_from(["cup", "pot", "茶", "jug", "mug"])
texts = st.sampled_from(["north", "south", None])
past = st.integers(min_value=(BEFORE - 120 * DAY) * MICROSECOND, max_value=BEFORE * MICROSECOND - 1)
future = st.integers(min_value=BEFORE * MICROSECOND, max_value=(BEFORE + 120 * DAY) * MICROSECOND)
# Values with a short binary fraction: their sums are exact in any order.
values = st.integers(min_value=1, max_value=400).map(lambda quarters: quarters / 4)


def events_at(times: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    kinds = st.sampled_from(["purchase", "view"])
    return st.lists(st.builds(Event, users_ids, items_ids, kinds, values, times), max_size=40)


shops = st.builds(
    Shop,
    events_at(past),
    st.dictionaries(users_ids, st.builds(Known, texts, past | future)),
    st.dictionaries(items_ids, st.builds(Known, texts, past | future)),
)


class Features:
    """The expressions, compiled once for BEFORE: compiling takes longer than running on a few rows."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._register(Shop([], {}, {}))
        backend = ibis.duckdb.from_connection(connection)
        events, users, items = (backend.table(name) for name in ("events", "users", "items"))
        self.users_sql = backend.compile(user_features(events, users, items, BEFORE))
        self.items_sql = backend.compile(item_features(events, items, BEFORE))

    def __call__(self, shop: Shop) -> tuple[Rows, Rows]:
        """The features of users and of items, by id."""
        self._register(shop)
        by_user, by_item = (
            self.connection.sql(sql).to_arrow_table() for sql in (self.users_sql, self.items_sql)
        )
        assert by_user.column_names == ["user_id", *USER_FEATURES, "country"]
        assert by_item.column_names == ["item_id", *ITEM_FEATURES]
        return _by("user_id", by_user), _by("item_id", by_item)

    def _register(self, shop: Shop) -> None:
        for name, rows in _tables(shop).items():
            self.connection.register(name, rows)


@pytest.fixture(scope="module", params=["UTC", "Pacific/Auckland"])
def computed(request: pytest.FixtureRequest) -> Iterator[Features]:
    """DuckDB with the session's clock on different zones: features must not care."""
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{request.param}'; SET threads = 1")
        yield Features(connection)


def _tables(shop: Shop) -> dict[str, pa.Table]:
    events = [(str(number), *event, None, None) for number, event in enumerate(shop.events)]
    users = [(user, known.text, known.time, None) for user, known in shop.users.items()]
    items = [(item, None, known.text, None, known.time, None) for item, known in shop.items.items()]
    tables: dict[str, tuple[pa.Schema, Sequence[tuple[Any, ...]]]] = {
        "events": (EVENTS, events),
        "users": (USERS, users),
        "items": (ITEMS, items),
    }
    return {
        name: pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        for name, (schema, rows) in tables.items()
    }


def _by(key: str, table: pa.Table) -> Rows:
    rows = {row.pop(key): row for row in table.to_pylist()}
    assert len(rows) == len(table)
    return rows


def expected_users(shop: Shop) -> Rows:
    """The same by loops over the log."""
    known = {user: entry for user, entry in shop.users.items() if entry.time < BEFORE * MICROSECOND}
    countries = Counter(entry.text for entry in known.values())
    rows = {}
    for user in {event.user for event in shop.events} | known.keys():
        log = [event for event in shop.events if event.user == user]
        days = sorted({_day(event) for event in log})
        visits = {(event.item, _day(event)) for event in log}
        bought = {event.item for event in log}
        categories = {shop.items[item].text for item in bought & shop.items.keys()} - {None}
        purchases = [event.value for event in log if event.kind == "purchase"]
        country = known[user].text if user in known else None
        rows[user] = {
            "user_recency_days": _days_until(max(event.time for event in log)) if log else None,
            "user_tenure_days": _days_until(
                min([event.time for event in log] + ([known[user].time] if user in known else []))
            ),
            "user_events_count": len(log),
            "user_events_30d_count": sum(_days_until(event.time) <= 30 for event in log),
            "user_active_days_count": len(days),
            "user_tempo_days": (days[-1] - days[0]) / (len(days) - 1) if len(days) > 1 else None,
            "user_items_count": len(bought),
            "user_categories_count": len(categories),
            "user_items_per_basket": len(visits) / len(days) if days else None,
            "user_repeat_visit_share": 1 - len(bought) / len(visits) if visits else None,
            "user_purchases_count": len(purchases),
            "user_spend_total": sum(purchases),
            "user_spend_per_purchase": mean(purchases) if purchases else None,
            "user_country_share": countries[country] / len(known) if country else None,
            "country": country,
        }
    return rows


def expected_items(shop: Shop) -> Rows:
    """The same by loops over the log."""
    known = {item: entry for item, entry in shop.items.items() if entry.time < BEFORE * MICROSECOND}
    baskets = defaultdict(set)
    for event in shop.events:
        baskets[event.user, _day(event)].add(event.item)
    rows = {}
    for item in {event.item for event in shop.events} | known.keys():
        log = [event for event in shop.events if event.item == item]
        week, month, quarter = (sum(_days_until(event.time) <= n for event in log) for n in (7, 30, 90))
        users = {event.user for event in log}
        repeaters = [user for user in users if len({_day(event) for event in log if event.user == user}) > 1]
        paid = [event.value for event in log if event.kind == "purchase"]
        rows[item] = {
            "item_recency_days": _days_until(max(event.time for event in log)) if log else None,
            "item_age_days": _days_until(
                min([event.time for event in log] + ([known[item].time] if item in known else []))
            ),
            "item_events_count": len(log),
            "item_events_7d_count": week,
            "item_events_30d_count": month,
            "item_events_90d_count": quarter,
            "item_trend_7d_log_ratio": math.log((week + 1) / (month * 7 / 30 + 1)),
            "item_trend_30d_log_ratio": math.log((month + 1) / (quarter / 3 + 1)),
            "item_users_count": len(users),
            "item_repeat_user_share": len(repeaters) / len(users) if users else None,
            "item_companions_per_basket": (
                mean(len(basket) - 1 for basket in baskets.values() if item in basket) if log else None
            ),
            "item_price_paid": median(paid) if paid else None,
        }
    return rows


def _day(event: Event) -> int:
    return event.time // (DAY * MICROSECOND)


def _days_until(time: int) -> float:
    return (BEFORE * MICROSECOND - time) / (DAY * MICROSECOND)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(shop=shops)
def test_features_equal_those_of_a_loop_over_the_log(computed: Features, shop: Shop) -> None:
    expectations = expected_users(shop), expected_items(shop)
    for found, expected in zip(computed(shop), expectations, strict=True):
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            assert found[key].keys() == row.keys()
            for name, value in row.items():
                exact = value is None or isinstance(value, str)
                wanted = value if exact else pytest.approx(value, rel=1e-6, abs=1e-6)
                assert found[key][name] == wanted, (key, name)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(shop=shops, later=events_at(future), other=events_at(future))
def test_no_feature_depends_on_events_at_or_after_its_time(
    computed: Features, shop: Shop, later: list[Event], other: list[Event]
) -> None:
    """Events at or after the cut may come, change or go: nothing moves."""
    before = computed(shop)
    assert computed(shop._replace(events=shop.events + later)) == before
    assert computed(shop._replace(events=shop.events + other)) == before


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(shop=shops, data=st.data())
def test_later_users_and_items_do_not_change_features(
    computed: Features, shop: Shop, data: st.DataObject
) -> None:
    """Who or what entered the tables at or after the cut is not there yet."""
    before = computed(shop)
    newcomers = data.draw(st.dictionaries(users_ids, st.builds(Known, texts, future)))
    assert computed(shop._replace(users={**newcomers, **shop.users})) == before
    offers = data.draw(st.dictionaries(items_ids, st.builds(Known, st.none(), future)))
    assert computed(shop._replace(items={**offers, **shop.items})) == before


def test_an_event_counts_from_the_microsecond_after_it(computed: Features) -> None:
    times = [BEFORE * MICROSECOND - 1, BEFORE * MICROSECOND]
    shop = Shop([Event("anna", "cup", "view", 1.0, time) for time in times], {}, {})
    users, items = computed(shop)
    assert users["anna"]["user_events_count"] == items["cup"]["item_events_count"] == 1


def test_every_feature_has_a_meaning_and_names_differ_between_users_and_items() -> None:
    assert all(USER_MEANINGS.values())
    assert all(ITEM_MEANINGS.values())
    assert not set(USER_FEATURES) & set(ITEM_FEATURES)
    assert datetime.fromtimestamp(BEFORE, tz=UTC).hour == 8  # the cut is inside a day, not at its edge
