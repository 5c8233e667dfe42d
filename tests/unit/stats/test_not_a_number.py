"""No figure that is not a number passes a gate: each comparison that decides refuses it, or flags it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker import cli
from tastemaker.cli.numbers import Number
from tastemaker.evaluation.leaderboard.pairwise import Pairs
from tastemaker.evaluation.robustness.learning_curve import LearningCurve, Point
from tastemaker.evaluation.seeds import SeedSpread
from tastemaker.evaluation.slices import SliceRow, lost
from tastemaker.stats.bootstrap import Difference, Interval, intervals, paired_difference
from tastemaker.stats.confidence import ends, ends_with_rare
from tastemaker.stats.significance import Flips, bootstrap_p, holm, permutation_p
from tastemaker.util import strict_json
from tastemaker.workflows.promotion_gate import ChampionComparison

NO_NUMBERS = (np.nan, np.inf, -np.inf)
no_number = st.sampled_from(NO_NUMBERS)
NAN = Difference(0.1, np.nan, np.nan, 50)


def broken(value: float, n: int = 40) -> np.ndarray[Any, Any]:
    """float64[n]: good figures, one of which is not a number."""
    values = np.linspace(0.2, 0.9, n)
    values[n // 2] = value
    return values


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("rest", [0.0, 0.1, 0.8])
def test_a_model_with_such_a_figure_neither_beats_nor_is_beaten(value: float, rest: float) -> None:
    pairs = Pairs.of(np.column_stack([broken(value), np.full(40, rest), broken(0.5)]), "ndcg")
    assert not pairs.better[0].any()
    assert not pairs.better[:, 0].any()
    assert pairs.p[0, 1] == pairs.p[0, 2] == 1


@given(no_number, st.booleans())
def test_p_is_one(value: float, exact: bool) -> None:
    observed, scale = np.array([value, 0.5]), np.ones(2)
    means = np.column_stack([np.full(99, value), np.linspace(-0.1, 0.1, 99)])
    assert permutation_p(observed, Flips(means, exact), scale)[0] == 1
    assert bootstrap_p(means, scale)[0] == 1


@given(st.lists(st.floats(0, 1) | st.just(np.nan), min_size=1, max_size=6))
def test_a_corrected_p_is_never_smaller_nor_no_number(found: list[float]) -> None:
    corrected = holm(found)
    assert ((corrected >= np.nan_to_num(found, nan=1.0)) & (corrected <= 1)).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_there_is_no_interval(value: float) -> None:
    values = broken(value)
    assert np.isnan(ends(float(values.mean()), 0.1, values, 0.95)).all()
    assert np.isnan(ends(0.5, value, broken(0.5), 0.95)).all()
    assert np.isnan(ends_with_rare(0.5, value, broken(0.5), 0.95, above=1, below=0, wide=True)).all()
    (found,) = intervals(values[:, None])
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(paired_difference(values, broken(0.5))[1:3]).all()


@given(no_number, st.floats(-1, 1), st.sampled_from(["low", "figure", "max_loss"]))
def test_nothing_passes_the_champion_by_it(value: float, low: float, name: str) -> None:
    """An interval that begins at +inf, or a champion of -inf, is not evidence either."""
    given_ = {"low": low, "figure": 0.3, "max_loss": 0.01} | {name: value}
    found = ChampionComparison(
        "ease",
        "popularity",
        "v1",
        "ndcg",
        Difference(0.0, given_["low"], 1.0, 50),
        given_["figure"],
        given_["max_loss"],
    )
    assert not found.passed


@given(st.sampled_from([np.nan, -np.inf]), st.floats(0, 1))
def test_a_loss_in_a_slice_is_not_excused_by_it(value: float, limit: float) -> None:
    figure = Interval(0.1, 0.0, 0.2)
    for difference in (Difference(value, value, value, 30), Difference(-2.0, np.nan, np.nan, 30)):
        assert lost(SliceRow("ease", figure, difference, None, "tied"), limit)


def test_no_window_is_better_or_enough_by_it() -> None:
    figure = Interval(0.1, np.nan, np.nan)
    points = (Point(7, figure, NAN, "a"), Point(14, figure, NAN, "b"), Point(28, figure, None, "c"))
    curve = LearningCurve("ease", "ndcg", 10, points)
    assert (curve.enough, curve.better, curve.known) == (28, None, False)


@given(no_number)
def test_it_does_not_say_what_moves_a_figure_more(value: float) -> None:
    spread = SeedSpread("a", (0, 1), {"ndcg": (0.1, 0.2)}, None)  # type: ignore[arg-type]  # no time is asked for
    assert spread.larger("ndcg", Interval(0.1, value, 0.2)) == "unknown"


@pytest.mark.parametrize(
    ("given_", "limits"),
    list(itertools.product(["nan", "-nan", "inf", "-inf", "1e999"], [(0, 1), (0, None)])),
)
def test_the_command_line_takes_no_such_number(given_: str, limits: tuple[float, float | None]) -> None:
    with pytest.raises(click.BadParameter):
        Number(*limits).convert(given_, None, None)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some) | st.tuples(some, some),
        max_leaves=20,
    )
)
def test_json_has_none_and_says_the_rest_as_it_is(value: Any) -> None:
    read = json.loads(strict_json.dumps(value), parse_constant=pytest.fail)
    plain = json.dumps(value).replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null")
    if not any(word in json.dumps(value) for word in ('"NaN', 'NaN"', 'Infinity"')):
        assert read == json.loads(plain)


@pytest.mark.parametrize("path", sorted(Path(cli.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_every_command_prints_json_so(path: Path) -> None:
    assert "json.dumps(" not in path.read_text("utf-8").replace("strict_json.dumps(", "")
