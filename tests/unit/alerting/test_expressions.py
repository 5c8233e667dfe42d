"""Expressions: known values, and equality with Prometheus on random series with gaps, resets and ends."""

from __future__ import annotations

import doctest
import math
import tempfile
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.promtool import run_promtool
from tastemaker.alerting import conditions, promql_text, rule, samples
from tastemaker.alerting import series as series_module
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import (
    Absent,
    Age,
    Aggregate,
    And,
    Compare,
    Constant,
    Gauge,
    Increase,
    Minus,
    Offset,
    Or,
    Over,
    Rate,
    Ratio,
    all_of,
)
from tastemaker.alerting.over_time import OverTime, PredictLinear
from tastemaker.alerting.samples import Sampled, SampledValue, as_series, braced, input_series
from tastemaker.alerting.series import Labels, Matcher, Series, SeriesByName, metric, one_of
from tastemaker.alerting.yaml_text import yaml_text
from tastemaker.errors import TastemakerError

INTERVAL = 5
SAMPLES = 60
TIMES = (0, 57, 150, 233, 300, 420, 601, 640)
BY = (("k",), ("k", "m"), ())
KEYS = [frozenset({("k", k), ("m", m)}) for k, m in product(("x", "y"), ("1", "2"))]


def series(name: str, *values: float | None, interval: float = 15, **labels: str) -> dict[str, list[Series]]:
    """One series that was scraped at 0, 15, 30 ... seconds."""
    times = [place * interval for place in range(len(values))]
    return {name: [Series(frozenset(labels.items()), times, values)]}


def only(expression: Expression, found: SeriesByName, now: float) -> float:
    """The value of an expression that has one."""
    (value,) = expression.evaluate(found, now).values()
    return value


@pytest.mark.parametrize("module", [conditions, promql_text, rule, samples, series_module])
def test_the_examples_in_docstrings_are_true(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


def test_a_steady_counter_has_its_rate_and_increase() -> None:
    found = series("c_total", *range(100, 150, 10))
    assert only(Rate(metric("c_total"), 60), found, 60) == pytest.approx(10 / 15)
    assert only(Increase(metric("c_total"), 60), found, 60) == pytest.approx(40)


def test_a_reset_counts_from_zero() -> None:
    found = series("c_total", 100, 110, 3, 13, 23)
    assert only(Increase(metric("c_total"), 60), found, 60) == pytest.approx(10 + 3 + 10 + 10)


def test_one_sample_is_not_a_rate_and_a_series_born_with_its_first_failure_hides_it() -> None:
    assert Rate(metric("c_total"), 60).evaluate(series("c_total", 7), 5) == {}
    assert only(Increase(metric("c_total"), 60), series("c_total", 7, 7, 7), 30) == 0
    assert only(Increase(metric("c_total"), 60), series("c_total", 0, 7, 7), 30) > 6


def test_a_value_is_stale_after_five_minutes_and_at_once_where_the_series_ended() -> None:
    gauge = Gauge(metric("g"))
    assert only(gauge, series("g", 5), 300) == 5
    assert gauge.evaluate(series("g", 5), 300.001) == {}
    assert gauge.evaluate(series("g", 5, None), 15) == {}
    assert only(gauge, series("g", 5, None), 14) == 5


def test_no_data_is_neither_true_nor_false() -> None:
    share = Ratio(
        Aggregate("sum", ("model",), Rate(metric("bad_total"), 60)),
        Aggregate("sum", ("model",), Rate(metric("all_total"), 60)),
    )
    alert, labels = Compare(share, ">", 0.05), frozenset({("model", "ease")})
    healthy = series("bad_total", 0, 0, 0, model="ease") | series("all_total", 0, 10, 20, model="ease")
    assert not alert.evaluate(healthy, 30)
    assert alert.data(healthy, 30) == {labels}
    assert alert.data(series("all_total", 0, 10, 20, model="ease"), 30) == frozenset()
    idle = series("bad_total", 0, 0, 0, model="ease") | series("all_total", 10, 10, 10, model="ease")
    assert math.isnan(share.evaluate(idle, 30)[labels])
    assert not alert.evaluate(idle, 30)
    assert not alert.data(idle, 30)


def test_data_of_a_conjunction_needs_both_sides_and_of_a_disjunction_one() -> None:
    both = Compare(Gauge(metric("a")), ">", 5), Compare(Gauge(metric("b")), ">", 5)
    found = series("a", 1)
    assert And(*both).data(found, 0) == frozenset()
    assert Or(*both).data(found, 0) == And(*both).data(found | series("b", 1), 0) == {frozenset()}
    missing = Absent(metric("up", job="shop"))
    assert (
        missing.data({}, 0) == missing.data(series("up", 1, job="shop"), 0) == {frozenset({("job", "shop")})}
    )


def test_the_share_above_a_bound_is_exact() -> None:
    found = series("h_bucket", 0, 90, 180, le="0.1") | series("h_count", 0, 100, 200)
    assert only(Over(metric("h"), 0.1, 60, ()), found, 30) == pytest.approx(0.1)


def test_the_forecast_follows_the_line_of_the_window_and_needs_two_samples() -> None:
    falling = series("free", 100, 90, 80, 70, 60)
    assert only(PredictLinear(metric("free"), 60, 0), falling, 60) == pytest.approx(60)
    assert only(PredictLinear(metric("free"), 60, 90), falling, 60) == pytest.approx(0)
    assert only(PredictLinear(metric("free"), 60, 90), series("free", 7, 7, 7), 60) == 7
    assert PredictLinear(metric("free"), 60, 90).evaluate(series("free", 7), 0) == {}


def test_the_mean_of_a_window_leaves_out_gaps_and_what_is_older() -> None:
    assert only(OverTime("avg", metric("g"), 30), series("g", 100, 1, 2, 3), 45) == pytest.approx(2)
    assert only(OverTime("max", metric("g"), 30), series("g", 100, 1, None, 3), 45) == 3


def test_a_comparison_with_nan_is_refused() -> None:
    with pytest.raises(TastemakerError, match="is never true"):
        Compare(Gauge(metric("g")), ">", math.nan)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (
            Compare(
                Ratio(
                    Aggregate("sum", ("model",), Rate(metric("a_total", one_of("reason", ["x", "y"])), 60)),
                    Aggregate("sum", ("model",), Rate(metric("a_total"), 60)),
                ),
                ">",
                0.05,
            ),
            '(sum by (model) (rate(a_total{reason=~"x|y"}[1m])) / sum by (model) (rate(a_total[1m]))) > 0.05',
        ),
        (Offset(Ratio(Gauge(metric("a")), Gauge(metric("b"))), 604_800), "a offset 1w / b offset 1w"),
        (Over(metric("h", e="/x"), 0.1, 60, ("job",)),
         '1 - sum by (job) (rate(h_bucket{e="/x",le="0.1"}[1m])) / sum by (job) (rate(h_count{e="/x"}[1m]))'),
        (Compare(Age(Gauge(metric("born"))), ">", 90), "(time() - born) > 90"),
        (Compare(Minus(Gauge(metric("a")), Ratio(Gauge(metric("b")), Gauge(metric("c")))), ">", 0.1),
         "(a - (b / c)) > 0.1"),
        (Offset(Aggregate("max", ("k",), PredictLinear(metric("free", m="/"), 3_600, 14_400)), 60),
         'max by (k) (predict_linear(free{m="/"}[1h] offset 1m, 14400))'),
        (OverTime("avg", metric("q"), 86_400), "avg_over_time(q[1d])"),
        (all_of(Gauge(metric("a")), Gauge(metric("b")), Constant(1)), "(a and b) and vector(1)"),
        (Absent(metric("up", job='a"b')), 'absent(up{job="a\\"b"})'),
    ],
)  # fmt: skip
def test_promql_text(expression: Expression, text: str) -> None:
    assert expression.promql() == text


def test_matchers_read_a_missing_label_as_empty_and_match_whole_values() -> None:
    x, xx, empty = frozenset({("a", "x")}), frozenset({("a", "xx")}), frozenset[tuple[str, str]]()
    found = {"g": [Series(labels, [0.0], [1.0]) for labels in (x, xx, empty)]}

    def matched(matcher: Matcher) -> list[Labels]:
        return [labels for labels, _ in metric("g", matcher).latest(found, 0)]

    assert matched(Matcher("a", "=", "")) == [empty]
    assert matched(Matcher("a", "!=", "x")) == [xx, empty]
    assert matched(Matcher("a", "=~", "x")) == [x]
    assert matched(Matcher("a", "!~", "x+")) == [empty]


@st.composite
def counters(draw: st.DrawFn) -> list[SampledValue]:
    """A counter with gaps, resets and ends."""
    steps = st.sampled_from([0, 0, 1, 3, 50, 1000, "_", "_", "reset", "stale"])
    value, values = draw(st.sampled_from([0, 5, 1000])), list[SampledValue]()
    for step in draw(st.lists(steps, min_size=SAMPLES, max_size=SAMPLES)):
        if step == "reset":
            value = 0
        elif isinstance(step, int):
            value += step
        values.append(step if step in ("_", "stale") else value)
    return values


gauges = st.lists(
    st.one_of(st.integers(-9, 9).map(float), st.sampled_from(["_", "stale"])),
    min_size=SAMPLES,
    max_size=SAMPLES,
)


@st.composite
def scrapes(draw: st.DrawFn) -> Sampled:
    """Two counters, two gauges and a histogram, each with up to four sets of labels."""
    found: dict[tuple[str, Labels], list[SampledValue]] = {}
    kinds = {"a_total": counters(), "b_total": counters(), "g": gauges, "h": gauges, "d_count": counters()}
    for name, values in kinds.items():
        for labels in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=len(KEYS))):
            found[name, labels] = draw(values)
    for labels in [labels for name, labels in found if name == "d_count"]:
        found["d_bucket", labels | {("le", "0.1")}] = draw(counters())
    return found


def expressions() -> st.SearchStrategy[Expression]:
    """Expressions of every kind, up to a few levels deep."""
    matchers = st.sampled_from([
        (), (Matcher("k", "=", "x"),), (Matcher("k", "!=", "x"),), (Matcher("m", "=~", "1|3"),),
        (Matcher("m", "!~", "1.*"),),
    ])  # fmt: skip
    counter = st.builds(lambda n, m: metric(n, *m), st.sampled_from(["a_total", "b_total"]), matchers)
    gauge = st.builds(lambda n, m: metric(n, *m), st.sampled_from(["g", "h"]), matchers)
    seconds = st.sampled_from([10, 58, 60, 200])
    raw: st.SearchStrategy[Expression] = st.one_of(
        st.builds(Rate, counter, seconds), st.builds(Increase, counter, seconds), st.builds(Gauge, gauge)
    )
    how = st.sampled_from(["sum", "max", "min", "count"])
    by = st.sampled_from(BY)
    leaves = st.one_of(
        raw,
        st.builds(Aggregate, how, by, raw),
        st.builds(OverTime, st.sampled_from(["avg", "max", "min"]), gauge, seconds),
        st.builds(PredictLinear, gauge, seconds, st.sampled_from([0, 90, 14_400])),
        st.builds(Over, st.just(metric("d")), st.just(0.1), seconds, by),
        st.builds(Absent, st.one_of(counter, gauge)),
        st.builds(Constant, st.sampled_from([0.0, 1.0, 2.5])),
    )
    comparisons = st.sampled_from([">", ">=", "<", "<=", "==", "!="])

    def deeper(smaller: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        limits = st.one_of(st.sampled_from([0.3717, -1.0, 2.0]), smaller)
        return st.one_of(
            st.builds(Ratio, smaller, smaller),
            st.builds(Minus, smaller, smaller),
            st.builds(Compare, smaller, comparisons, limits),
            st.builds(And, smaller, smaller),
            st.builds(Or, smaller, smaller),
            st.builds(Age, smaller),
            st.builds(Offset, smaller, st.sampled_from([30, 61])),
            st.builds(Aggregate, how, by, smaller),
        )

    return st.recursive(leaves, deeper, max_leaves=6)


def rounded(value: float) -> float:
    """A value as PromQL's round(..., 0.000001) returns it."""
    return value if math.isinf(value) else math.floor(value * 1e6 + 0.5) / 1e6


@pytest.mark.processes
@pytest.mark.slow
@settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(scrapes(), st.lists(expressions(), min_size=25, max_size=25))
def test_values_equal_prometheus(sampled: Sampled, drawn: list[Expression]) -> None:
    """One promtool process evaluates 25 expressions at eight times, and reports those that differ.

    NaN, which equals nothing, is left out. Nothing is shrunk: the report has the expression and both values.
    """
    found = as_series(sampled, INTERVAL)
    expected = [
        {
            "expr": f"round(({expression.promql()}) >= -Inf, 0.000001)",
            "eval_time": f"{now}s",
            "exp_samples": [
                {"labels": braced(labels), "value": rounded(value)}
                for labels, value in expression.evaluate(found, now).items()
                if not math.isnan(value)
            ],
        }
        for expression, now in product(drawn, TIMES)
    ]
    test = {"interval": f"{INTERVAL}s", "input_series": input_series(sampled), "promql_expr_test": expected}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.yml"
        path.write_text(yaml_text({"evaluation_interval": "1m", "tests": [test]}))
        answer = run_promtool("test", "rules", path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
