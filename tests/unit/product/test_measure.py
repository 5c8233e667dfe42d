"""The whole computation: equal to plain Python, incremental like from scratch, and stable once complete."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow.compute as pc
import pytest

from support.product_homes import (
    EXPERIMENT,
    FIRST_DAY,
    ProductWorld,
    make_world,
    measure,
    settings_of,
    stored,
    write_home,
)
from support.product_truth import ProductTruth
from tastemaker.data.lake import Lake
from tastemaker.event_log.records import Assignment, FeedbackRecord
from tastemaker.privacy.forget import forget
from tastemaker.problem import load_problem
from tastemaker.product.cell import Group
from tastemaker.product.day_files import ACTIVITY, ITEM_DAYS, USER_DAYS
from tastemaker.product.definition import MIN_EVENTS, MIN_USERS
from tastemaker.product.definitions import DEFINITIONS, get
from tastemaker.product.growth_metrics import GROWTH
from tastemaker.product.horizons import read_horizons
from tastemaker.product.retention_metrics import RETENTION
from tastemaker.product.shop_days import ShopDays
from tastemaker.settings import Settings

pytestmark = pytest.mark.slow  # each test measures a shop, most of them for a hundred days

Rows = dict[tuple[Any, ...], Any]
ALL = Group()


class Shop(NamedTuple):
    """A measured home and its truth."""

    settings: Settings
    rows: Rows
    truth: ProductTruth
    until: date


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    world = make_world(300, 96, seed=3)
    settings = write_home(tmp_path_factory.mktemp("shop"), world)
    found = measure(settings)
    problem, days = load_problem(settings.problem), ShopDays(settings.shop_timezone)
    closed = read_horizons(Lake(settings.lake), problem, days, datetime.now(UTC)).closed
    assert closed is not None
    assert found.log_until is not None
    truth = ProductTruth(world, problem, days.timezone, closed.timestamp())
    return Shop(settings, stored(settings), truth, found.log_until)


GROUPS = (
    ALL,
    Group("ranker"),
    Group("ranker", "r1"),
    Group("ranker", "r2"),
    Group("popularity", "p1"),
    Group(experiment=EXPERIMENT, variant="treatment"),
)


@pytest.mark.parametrize("days", [1, 7, 28, 90])
def test_engagement_is_that_of_plain_python(shop: Shop, days: int) -> None:
    compared = 0
    of_window: dict[tuple[Group, date, date], Rows] = defaultdict(dict)
    for key, row in shop.rows.items():
        of_window[key[2:]][key[:2]] = row
    for last in (
        shop.until,
        shop.until - timedelta(days=2),
        FIRST_DAY + timedelta(days=40),
        date(2026, 3, 29),
    ):
        first = last - timedelta(days=days - 1)
        for group in GROUPS:
            expected = shop.truth.engagement(first, last, group)
            names = {name for name, _ in expected} | {"p99_ms"}
            found = {key: row for key, row in of_window[group, first, last].items() if key[0] in names}
            assert {key for key in found if key[0] != "p99_ms"} == set(expected)
            for key, (value, users) in expected.items():
                assert found[key].n == users, (key, group, last)
                if found[key].value is not None:
                    assert math.isclose(found[key].value, value, rel_tol=1e-9, abs_tol=1e-12), (key, group)
                    compared += 1
    assert compared > 30


def test_growth_is_that_of_plain_python(shop: Shop) -> None:
    for metric in GROWTH:
        first = FIRST_DAY + timedelta(days=metric.needs_days - 1)
        for last in (first, date(2026, 3, 31), shop.until):
            key = (metric.name, "", ALL, last - timedelta(days=metric.days - 1), last)
            if last < first:
                assert key not in shop.rows
            else:
                assert shop.rows[key].value == pytest.approx(shop.truth.growth(last)[metric.name], rel=1e-12)
                assert shop.rows[key].is_complete


def test_active_users_are_new_retained_or_resurrected(shop: Shop) -> None:
    ends = [key[3:] for key in shop.rows if key[0] == "new_users_28"]
    assert len(ends) > 10
    for window in ends:
        parts = ("new_users_28", "retained_users_28", "resurrected_users_28")
        assert sum(shop.rows[name, "", ALL, *window].value for name in parts) == (
            shop.rows["mau", "", ALL, *window].value
        )


@pytest.mark.parametrize(
    "group", [ALL, Group("ranker", "r2"), Group(experiment=EXPERIMENT, variant="control")]
)
def test_retention_is_that_of_plain_python(shop: Shop, group: Group) -> None:
    starts = shop.truth.first_days() if group == ALL else shop.truth.first_lists(group)
    spans = {(one.name, ""): (int(one.first), int(one.last)) for one in RETENTION if not one.slice}
    spans |= {("retention_week", f"week={n}"): (7 * n, 7 * n + 6) for n in range(13)}
    mondays = sorted({key[3] for key in shop.rows if key[0] == "retention_day_1" and key[2] == group})
    assert mondays
    if group == ALL:
        assert mondays[0] >= FIRST_DAY + timedelta(days=28)
    for monday in mondays:
        sunday = monday + timedelta(days=6)
        for (metric, slice_), (first, last) in spans.items():
            row = shop.rows[metric, slice_, group, monday, sunday]
            followed, came = shop.truth.retention(starts, monday, first, last, shop.until)
            assert row.n == followed
            assert row.is_complete == (sunday + timedelta(days=last) <= shop.until)
            assert row.value == (came / followed if followed >= MIN_USERS else None)


def test_the_sql_of_a_definition_computes_its_cells(shop: Shop) -> None:
    """What the dashboard shows as a metric's SQL, run on the files of the days."""
    root = Lake(shop.settings.product_root)
    last, known_until = shop.until, shop.until
    with root.connect() as connection:
        connection.execute(
            "CREATE VIEW firsts AS SELECT user_id, min(day) AS first_day FROM activity GROUP BY user_id"
        )
        connection.execute("CREATE VIEW starts AS FROM firsts")
        connection.execute("CREATE TABLE ends (last DATE, ends_at TIMESTAMPTZ, items BIGINT)")
        connection.execute(
            "INSERT INTO ends VALUES (?, ?, 60)", [last, ShopDays(shop.settings.shop_timezone).end(last)]
        )
        compared = set()
        for (metric, slice_, group, first, end), row in shop.rows.items():
            is_newest = (
                end == last and (end - first).days in (0, 6, 27) and metric not in {r.name for r in RETENTION}
            )
            is_cohort = metric in {r.name for r in RETENTION} and first == date(2026, 3, 2)
            if group != ALL or row.value is None or not (is_newest or is_cohort):
                continue
            sql, value = get(metric).sql, slice_.partition("=")[2]
            sql = sql.replace(f"{{{get(metric).slice}}}", value)
            given = {"first": first, "last": end, "known_until": known_until, "category": value}
            known = {name: one for name, one in given.items() if f"${name}" in sql}
            ((found,),) = connection.execute(sql, known).fetchall()
            assert found == pytest.approx(row.value, rel=1e-9), metric
            compared.add(metric)
    assert compared == set(DEFINITIONS)


def test_too_little_data_has_no_value_but_its_users(shop: Shop) -> None:
    for (metric, _, _, _, _), row in shop.rows.items():
        definition = get(metric)
        if definition.unit in ("users", "requests", "items"):
            assert row.value is not None
        elif row.value is not None:
            assert row.n >= MIN_USERS
        if row.low is not None:
            assert row.low <= row.value <= row.high
    few = [row for row in shop.rows.values() if row.metric == "ctr_list" and row.n < MIN_USERS]
    assert few
    assert MIN_EVENTS == 10


def changed(old: Rows, new: Rows) -> set[tuple[Any, ...]]:
    """Keys of the rows that differ by more than rounding, or are in one of them only."""
    return {key for key in old.keys() | new.keys() if not same(old.get(key), new.get(key))}


def same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return False
    if (a.n, a.is_complete, a.unit) != (b.n, b.is_complete, b.unit):
        return False
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("value", "low", "high")]
    return all(
        x is y is None or (None not in (x, y) and math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9))
        for x, y in pairs
    )


def until(world: ProductWorld, end: datetime) -> ProductWorld:
    """The world as it was known at a time."""
    seconds = end.timestamp()
    return ProductWorld(
        [one for one in world.requests if one.occurred_at < seconds],
        [one for one in world.feedback if one.received_at < seconds],
        [one for one in world.visits if one[1] < end],
    )


def scratch(folder: Path, world: ProductWorld) -> Rows:
    settings = write_home(folder, world)
    measure(settings)
    return stored(settings)


def test_more_days_never_change_a_complete_cell_and_end_like_from_scratch(tmp_path: Path) -> None:
    world = make_world(40, 14, seed=5)
    settings = settings_of(tmp_path / "home")
    rows: Rows = {}
    for day in (9, 10, 13):
        end = datetime.combine(FIRST_DAY + timedelta(days=day), datetime.min.time(), UTC) + timedelta(hours=9)
        write_home(settings.home, until(world, end))
        assert measure(settings).days_computed > 0
        new = stored(settings)
        complete = {key: row for key, row in rows.items() if row.is_complete}
        assert not changed(complete, {key: new.get(key) for key in complete})
        assert len(new) > len(rows)
        rows = new
    assert not changed(rows, scratch(tmp_path / "scratch", until(world, end)))


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    settings = write_home(tmp_path, make_world(30, 8))
    assert measure(settings).rows > 100
    before = stored(settings)
    again = measure(settings)
    assert (again.days_computed, again.rows, again.windows_removed) == (0, 0, 0)
    assert {row.computed_at for row in before.values()} == {
        row.computed_at for row in stored(settings).values()
    }


def test_late_feedback_forgotten_users_and_vanished_logs(tmp_path: Path) -> None:
    world = make_world(40, 8, seed=7)
    settings = write_home(tmp_path / "home", world)
    measure(settings)
    request = world.requests[5]
    at = request.occurred_at + 3_600
    late = FeedbackRecord(
        "late", request.items[2].item_id, "click", 1.0, at, at + 2 * 86_400, None, request.request_id
    )
    world.feedback.append(late)
    world.write(settings.home)
    before = stored(settings)
    measure(settings)
    assert changed(before, stored(settings))
    assert not changed(scratch(tmp_path / "late", world), stored(settings))

    forget(settings, "u0001")
    for table in (USER_DAYS, ACTIVITY):
        assert "u0001" not in Lake(settings.product_root).read(table)["user_id"].to_pylist()
    measure(settings)
    world.requests = [one for one in world.requests if one.user_id != "u0001"]
    kept = {one.request_id for one in world.requests}
    world.feedback = [one for one in world.feedback if one.request_id in kept]
    world.visits = [one for one in world.visits if one[0] != "u0001"]
    assert not changed(scratch(tmp_path / "forgotten", world), stored(settings))

    for table in ("requests", "feedback"):
        for path in Lake(settings.lake).files(table):
            path.unlink()
    gone = measure(settings)
    assert gone.windows_removed > 0
    left = stored(settings)
    assert {key[0] for key in left} <= {one.name for one in (*GROWTH, *RETENTION)}
    assert not Lake(settings.product_root).files(ITEM_DAYS)


def test_who_forces_a_variant_is_not_one_of_its_users(tmp_path: Path) -> None:
    world = make_world(20, 4)
    by_other_system = Assignment(EXPERIMENT, 0, "named by another system")
    forced = Assignment(EXPERIMENT, 0, "looked at", plan="0123456789abcdef", unit="u")
    for place, assignment in enumerate((by_other_system, forced)):
        world.requests[place] = msgspec.structs.replace(world.requests[place], assignment=assignment)
    settings = write_home(tmp_path, world)
    measure(settings)
    found = Lake(settings.product_root).read(USER_DAYS)
    assert pc.sum(found["lists"]).as_py() == len(world.requests), "the list itself counts"
    variants = Counter(zip(found["experiment"].to_pylist(), found["variant"].to_pylist(), strict=True))
    assert variants[EXPERIMENT, "named by another system"] == 1
    assert variants["", ""] == 1
    assert {variant for _, variant in variants} == {"", "control", "treatment", "named by another system"}


def test_another_time_zone_replaces_all_windows(tmp_path: Path) -> None:
    world = make_world(40, 8, seed=2)
    settings = write_home(tmp_path / "home", world)
    measure(settings)
    moved = settings_of(settings.home, product={"timezone": "Pacific/Auckland"})
    assert measure(moved).windows_removed > 0
    fresh = settings_of(tmp_path / "scratch", product={"timezone": "Pacific/Auckland"})
    write_home(fresh.home, world)
    measure(fresh)
    assert not changed(stored(moved), stored(fresh))


def test_days_that_the_retention_period_deleted_keep_their_measurements(tmp_path: Path) -> None:
    settings = write_home(tmp_path, make_world(40, 8))
    measure(settings)
    before = stored(settings)
    first = FIRST_DAY + timedelta(days=4)
    for path in Lake(settings.lake).files("requests"):
        if date.fromisoformat(path.parent.name.removeprefix("day=")) < first:
            path.unlink()
    keeping = (datetime.now(UTC).date() - first).days + 1
    measure(settings_of(tmp_path, privacy={"log_days": keeping}))
    after = stored(settings)
    old = {key: row for key, row in before.items() if key[3] < first and key[0] == "requests"}
    assert old
    assert not changed(old, {key: after.get(key) for key in old})


def test_a_home_without_any_event(tmp_path: Path) -> None:
    settings = write_home(tmp_path, ProductWorld())
    found = measure(settings)
    assert (found.log_until, found.activity_until, found.rows) == (None, None, 0)
    assert stored(settings) == {}


def as_values(rows: Mapping[tuple[Any, ...], Any], metric: str) -> set[float | None]:
    return {row.value for key, row in rows.items() if key[0] == metric}


def test_rewards_that_are_not_numbers_leave_the_cell_empty(tmp_path: Path) -> None:
    world = make_world(80, 6, seed=1)
    world.feedback = [msgspec.structs.replace(one, value=math.nan) for one in world.feedback]
    settings = write_home(tmp_path, world)
    text = settings.problem.read_text().replace("{weight: 1.0,", "{weight: 1.0, by_value: true,")
    settings.problem.write_text(text)
    measure(settings)
    rows = stored(settings)
    assert as_values(rows, "reward_per_request") == {None}
    assert as_values(rows, "ctr_list") - {None}


def test_bots_are_left_out(tmp_path: Path) -> None:
    world = make_world(40, 5, seed=4)
    honest = scratch(tmp_path / "honest", world)
    at = world.visits[0][1]
    world.visits += [("robot", at + timedelta(seconds=second), "view") for second in range(1_001)]
    assert not changed(honest, scratch(tmp_path / "with", world))
