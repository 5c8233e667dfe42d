"""Events as arrays: against a brute force over the rows, and hostile input."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.small_lakes import DAY, START, Row, make_lake, make_problem
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import SourceError
from tastemaker.plugins.arrays import History
from tastemaker.problem import ProblemSpec

REWARDS: dict[str, Callable[[float], float]] = {
    "purchase": lambda value: 0.5 * value + 1.5,
    "view": lambda value: 0.5,
    "return": lambda value: -2.0,
}
TOO_SHORT = r"nothing is left|the training window|no model can be evaluated"
quiet = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
rows_strategy = st.lists(
    st.builds(
        Row,
        user=st.sampled_from(["ä", "b", "c", "ж"]),
        item=st.sampled_from(["1", "2", "3", "鍋", "5"]),
        seconds=st.integers(0, 9 * DAY),
        type=st.sampled_from(["purchase", "view", "return", "search"]),
        value=st.integers(1, 9).map(float),
    ),
    min_size=1,
    max_size=40,
).filter(lambda rows: any(row.type in REWARDS for row in rows))


@pytest.mark.slow
@quiet
@given(
    rows=rows_strategy,
    repeats=st.booleans(),
    test_days=st.integers(1, 4),
    train_days=st.none() | st.integers(1, 4),
    available_days=st.none() | st.integers(1, 4),
    blocked=st.sampled_from([(), ("1", "nowhere")]),
)
def test_split_against_brute_force(
    rows: list[Row],
    repeats: bool,
    test_days: int,
    train_days: int | None,
    available_days: int | None,
    blocked: tuple[str, ...],
) -> None:
    problem = make_problem(
        split={"test_days": test_days, "train_days": train_days},
        repeats=repeats,
        available_days=available_days,
        blocked_items=blocked,
    )
    counted = [row for row in rows if row.type in REWARDS]
    end = (max(row.seconds for row in counted) // DAY + 1) * DAY
    cut = end - test_days * DAY
    start = min(row.seconds for row in counted) if train_days is None else cut - train_days * DAY
    before = [row for row in counted if row.seconds < cut]
    window = [row for row in before if row.seconds >= start]
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.load(make_lake(Path(folder), rows), problem)
        wanted, unreachable = _relevant(counted, before, cut, problem)
        if not (window and wanted):
            with pytest.raises(SourceError, match=TOO_SHORT):
                dataset.split()
            return
        split = dataset.split()

    users, items = sorted({row.user for row in before}), sorted({row.item for row in before})
    known = split.snapshot.user_ids.decode(range(len(split.snapshot.user_ids)))
    assert (known, split.snapshot.item_ids.decode(range(split.train.n_items))) == (users, items)
    events = split.train.events
    found = zip(events.users, events.items, events.rewards, events.times, strict=True)
    assert sorted((users[u], items[i], float(r), int(t) - START) for u, i, r, t in found) == sorted(
        (row.user, row.item, REWARDS[row.type](row.value), row.seconds) for row in window
    )
    assert (np.diff(events.times) >= 0).all()
    history = History.from_events(events, len(users), len(items))
    for part in ("offsets", "items", "rewards", "counts", "last_times"):
        np.testing.assert_array_equal(getattr(split.train.history, part), getattr(history, part))
    evaluated = sorted({user for user, _item in wanted})
    assert split.user_ids == evaluated
    assert split.users.tolist() == [users.index(user) if user in users else -1 for user in evaluated]
    relevant = split.relevant.tocoo()
    entries = zip(relevant.row, relevant.col, relevant.data, strict=True)
    assert {(evaluated[row], items[column]): value for row, column, value in entries} == wanted
    assert (split.unreachable, split.cut, split.end) == (unreachable, START + cut, START + end)


def _relevant(
    counted: list[Row], before: list[Row], cut: int, problem: ProblemSpec
) -> tuple[dict[tuple[str, str], float], int]:
    """Net rewards of the users that can be evaluated, and rewarded events out of reach."""
    rules = problem.candidates
    allowed = {row.item for row in before} - set(rules.blocked_items)
    if rules.available_days is not None:
        recent = cut - rules.available_days * DAY
        allowed &= {row.item for row in before if row.seconds >= recent}
    sums: dict[tuple[str, str], float] = defaultdict(float)
    unreachable = 0
    for row in (row for row in counted if row.seconds >= cut):
        reward = REWARDS[row.type](row.value)
        if row.item in allowed:
            sums[row.user, row.item] += reward
        else:
            unreachable += reward > 0
    past: dict[tuple[str, str], float] = defaultdict(float)
    for row in before:
        past[row.user, row.item] += REWARDS[row.type](row.value)
    out = {pair for pair, reward in past.items() if reward < 0 or not rules.repeats}
    kept = {pair: value for pair, value in sums.items() if value and pair not in out}
    evaluated = {user for (user, _item), value in kept.items() if value > 0}
    return {pair: value for pair, value in kept.items() if pair[0] in evaluated}, unreachable


@pytest.mark.slow
@quiet
@given(rows=rows_strategy)
def test_history_against_brute_force(rows: list[Row]) -> None:
    counted = [row for row in rows if row.type in REWARDS]
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.load(make_lake(Path(folder), rows), make_problem())
        history = dataset.snapshot().history
    expected: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in counted:
        expected[row.user, row.item].append(row)
    found = {}
    ids = dataset.user_ids.decode(history.rows), dataset.item_ids.decode(history.items)
    for n, pair in enumerate(zip(*ids, strict=True)):
        found[pair] = (float(history.rewards[n]), int(history.counts[n]), int(history.last_times[n]) - START)
    assert found == {
        pair: (
            sum(REWARDS[row.type](row.value) for row in group),
            len(group),
            max(row.seconds for row in group),
        )
        for pair, group in expected.items()
    }


def test_no_events(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="events is empty"):
        Dataset.load(make_lake(tmp_path, []), make_problem())


def test_a_problem_for_other_event_types(tmp_path: Path) -> None:
    rows = [Row("a", "1", 0, "click"), Row("b", "1", 0, "click"), Row("b", "1", 0, "like")]
    lake = make_lake(tmp_path, rows)
    with pytest.raises(SourceError, match=r"purchase, return, view.*click \(2\), like \(1\)"):
        Dataset.load(lake, make_problem())


def test_too_short_for_the_split(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [Row("a", "1", 0), Row("a", "1", DAY)])
    with pytest.raises(SourceError, match=r"test_days is 30, but the events span 2\.0 days") as caught:
        Dataset.load(lake, make_problem()).split()
    assert "test_days" in str(caught.value.fix)


def test_a_cut_before_everything(tmp_path: Path) -> None:
    dataset = Dataset.load(make_lake(tmp_path, [Row("a", "1", 5)]), make_problem())
    with pytest.raises(SourceError, match=r"no event happened before 2023-11-15 00:00:05"):
        dataset.training(START + 5)


def test_an_empty_training_window(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [Row("a", "1", 0), Row("a", "1", 9 * DAY)])
    dataset = Dataset.load(lake, make_problem(split={"test_days": 1, "train_days": 2}))
    with pytest.raises(SourceError, match="the training window"):
        dataset.split()


def test_one_user_and_one_item(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [Row("a", "1", day * DAY) for day in range(5)])
    split = Dataset.load(lake, make_problem(split={"test_days": 2})).split()
    assert (split.train.n_users, split.train.n_items, split.users.tolist()) == (1, 1, [0])
    assert split.relevant.toarray().tolist() == [[4.0]]


@pytest.mark.slow
def test_a_user_with_a_hundred_thousand_events(tmp_path: Path) -> None:
    n = 100_000
    rows = [Row("bot", str(number % 5_000), number) for number in range(n)] + [Row("a", "1", 3 * DAY)]
    dataset = Dataset.load(make_lake(tmp_path, rows), make_problem())
    data = dataset.training()
    assert (data.events.count, data.n_users, data.n_items) == (n + 1, 2, 5_000)
    bot = dataset.user_ids.lookup(["bot"])[0]
    assert data.history.lengths[bot] == 5_000
    assert data.history.counts[data.history.rows == bot].tolist() == [20] * 5_000


def test_catalogue_items_without_events_are_known_from_their_first_day(tmp_path: Path) -> None:
    listed = [
        {"item_id": "old", "first_seen_at": datetime.fromtimestamp(START, UTC)},
        {"item_id": "new", "first_seen_at": datetime.fromtimestamp(START + 2 * DAY, UTC)},
    ]
    dataset = Dataset.load(
        make_lake(tmp_path, [Row("a", "1", day * DAY) for day in range(3)], listed), make_problem()
    )
    assert dataset.snapshot(START + 2 * DAY).item_ids.decode([0, 1]) == ["1", "old"]
    assert len(dataset.snapshot().item_ids) == 3


def test_blocked_categories_and_the_fallback_list(tmp_path: Path) -> None:
    at = datetime.fromtimestamp(START, UTC)
    listed = [
        {"item_id": "1", "first_seen_at": at, "category": "gift"},
        {"item_id": "2", "first_seen_at": at, "category": "voucher"},
        {"item_id": "3", "first_seen_at": at},
    ]
    rows = [Row("a", "1", 0), Row("b", "2", 1), Row("b", "2", 2), Row("b", "3", 3), Row("a", "3", 4)]
    snapshot = Dataset.load(
        make_lake(tmp_path, rows, listed), make_problem(blocked_categories=["voucher"])
    ).snapshot()
    assert snapshot.available is not None
    assert snapshot.available.tolist() == [True, False, True]
    assert snapshot.item_ids.decode(snapshot.popular) == ["3", "1"]


def test_items_with_only_negative_rewards_end_the_fallback_list(tmp_path: Path) -> None:
    """Item 1 has a lower sum than item 2, but user a likes it; no user had item 3."""
    listed = [{"item_id": "3", "first_seen_at": datetime.fromtimestamp(START, UTC)}]
    rows = [Row("a", "1", 0), *(Row(user, "1", 1, "return") for user in "bcd"), Row("a", "2", 2, "return")]
    snapshot = Dataset.load(make_lake(tmp_path, rows, listed), make_problem()).snapshot()
    assert snapshot.item_ids.decode(snapshot.popular) == ["3", "1", "2"]


@pytest.mark.slow
def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    rows = [Row("a", "1", 0), Row("b", "2", DAY)]
    same = Dataset.load(make_lake(tmp_path / "1", rows), make_problem()).data_hash
    assert Dataset.load(make_lake(tmp_path / "2", rows[::-1]), make_problem()).data_hash == same
    other_rows = [rows[0], rows[1]._replace(value=2.0)]
    others = {
        Dataset.load(make_lake(tmp_path / "3", other_rows), make_problem()).data_hash,
        Dataset.load(make_lake(tmp_path / "1", rows), make_problem(repeats=False)).data_hash,
        Dataset.load(make_lake(tmp_path / "1", rows), make_problem(), feature_root=tmp_path).data_hash,
    }
    assert len(others | {same}) == 4


@pytest.mark.filterwarnings(r"ignore:fetch_\w+\(\) is deprecated:DeprecationWarning")  # Ibis
def test_training_is_seeded_and_bound_to_features(tmp_path: Path) -> None:
    rows = [Row(user, "1", day * DAY) for day in range(4) for user in "ab"] + [Row("new", "2", 4 * DAY)]
    lake = make_lake(tmp_path / "lake", rows)
    dataset = Dataset.load(
        lake, make_problem(split={"test_days": 2}), feature_root=tmp_path / "features", seed=7
    )
    split = dataset.split()
    assert split.train.rng.random() == np.random.default_rng(7).random()
    assert split.train.features is not None
    table = split.train.features.items(split.cut)
    assert len(table.values) == split.train.n_items == 1  # what the future holds has no row
    assert split.snapshot.item_features is not None
    np.testing.assert_array_equal(split.snapshot.item_features.values, table.values)


def test_history_rows_of_the_split_are_those_before_the_cut(tmp_path: Path) -> None:
    """The snapshot keeps what was had before a short training window began."""
    rows = [Row("a", "1", 0), Row("a", "2", 5 * DAY), Row("a", "3", 5 * DAY), Row("b", "3", 6 * DAY)]
    problem = make_problem(split={"test_days": 1, "train_days": 2}, repeats=False)
    split = Dataset.load(make_lake(tmp_path, rows), problem).split()
    assert split.train.history.items.tolist() == [1, 2]
    assert split.snapshot.history.items.tolist() == [0, 1, 2]
    assert isinstance(split.snapshot.history, History)


@pytest.mark.slow
@quiet
@given(rows=rows_strategy)
def test_an_event_type_of_weight_zero_is_as_if_it_were_not_named(rows: list[Row]) -> None:
    problem = make_problem()
    idle = {"name": "idle", "share": 0.2, "events": {"search": {"weight": 0}, "purchase": {"weight": 0}}}
    raised = [objective.model_copy(update={"share": 0.4}) for objective in problem.objectives]
    halved = problem.model_copy(update={"objectives": tuple(raised)})
    named = ProblemSpec.model_validate(
        halved.model_dump() | {"objectives": [*halved.model_dump()["objectives"], idle]}
    )
    with tempfile.TemporaryDirectory() as folder:
        lake = make_lake(Path(folder), rows)
        without, with_zero = Dataset.load(lake, halved), Dataset.load(lake, named)
    assert without.user_ids.decode(range(len(without.user_ids))) == with_zero.user_ids.decode(
        range(len(with_zero.user_ids))
    )
    assert without.end == with_zero.end
    for part in ("users", "items", "rewards", "times"):
        np.testing.assert_array_equal(getattr(without.events, part), getattr(with_zero.events, part))
