"""Scraped samples in memory: what is kept, labels, staleness, limits, and samples for long windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from tastemaker.alerting.expressions import Aggregate, Compare, Increase, Offset, Over, Rate, Ratio
from tastemaker.alerting.expressions import Gauge as GaugeValue
from tastemaker.alerting.rules import all_rules
from tastemaker.alerting.series import Matcher, Series, metric
from tastemaker.settings import Settings
from tastemaker.watch.reads import FINEST_SECONDS, RAW_SECONDS, Kept, kept_series, reads
from tastemaker.watch.samples import MOST_SERIES, AllSamples, PageError, ScrapeTarget, TargetSamples

TARGET = ScrapeTarget("tastemaker", "shop:3000")
OWN = {("job", "tastemaker"), ("instance", "shop:3000")}
WEEK = 604_800.0


def samples(*names: str) -> TargetSamples:
    return TargetSamples(TARGET, {name: Kept((metric(name),)) for name in (*names, "up")})


def named(one: TargetSamples, name: str) -> list[Series]:
    return [series for found, series in one.series() if found == name]


def test_series_that_no_rule_reads_are_dropped() -> None:
    kept = {"requests_total": Kept((metric("requests_total", Matcher("status", "=~", "5..")),))}
    one = TargetSamples(TARGET, kept)
    one.append('other 1\nrequests_total{status="200"} 5\nrequests_total{status="503"} 2\n', 10)
    (series,) = named(one, "requests_total")
    assert series.labels == {*OWN, ("status", "503")}
    assert list(series.values) == [2.0]


def test_a_page_of_prometheus_client_is_read_as_written() -> None:
    registry = CollectorRegistry()
    value = Gauge("a", "Help with } and {", ["text"], registry=registry)
    texts = ["plain", 'quo"te', "back\\slash", "brace} {1.0", "new\nline", "comma, =x", "# HELP", "ünï"]
    for number, text in enumerate(texts):
        value.labels(text).set(number + 0.5)
    Counter("b", "Help", registry=registry).inc(3)
    one = samples("a", "b_total")
    one.append(generate_latest(registry).decode(), 10)
    found = {dict(series.labels)["text"]: series.values[0] for series in named(one, "a")}
    assert found == {text: number + 0.5 for number, text in enumerate(texts)}
    assert [series.values[0] for series in named(one, "b_total")] == [3.0]


def test_special_values_and_times_are_read() -> None:
    one = samples("a")
    one.append('a{x="1"} NaN\na{x="2"} +Inf\na{x="3"} -Inf\na{x="4"} 1e3 1700000000000\n', 10)
    found = {dict(series.labels)["x"]: series.values[0] for series in named(one, "a")}
    assert math.isnan(found["1"] or 0)
    assert (found["2"], found["3"], found["4"]) == (math.inf, -math.inf, 1_000.0)


def test_labels_of_the_target_win() -> None:
    one = samples("a")
    one.append('a{job="mine",instance="there"} 1\n', 10)
    (series,) = named(one, "a")
    assert series.labels == {*OWN, ("exported_job", "mine"), ("exported_instance", "there")}


def test_a_series_that_vanishes_ends_and_may_come_back() -> None:
    one = samples("a")
    for at, page in enumerate(["a 1\n", "", "a 3\n"]):
        one.append(page, at * 5.0)
    (series,) = named(one, "a")
    assert list(series.values) == [1.0, None, 3.0]
    all_of_it = AllSamples({"a": Kept((metric("a"),))})
    part = all_of_it.of("x", TARGET)
    part.append("a 1\n", 0)
    assert len(list(metric("a").latest(all_of_it.by_name(), 4))) == 1
    part.append("", 5, is_up=False)
    assert list(metric("a").latest(all_of_it.by_name(), 6)) == []
    assert [value for _, value in metric("up").latest(all_of_it.by_name(), 6)] == [0.0]


@pytest.mark.parametrize(
    ("page", "message"),
    [("a one\n", "not a number"), ("a\n", "not a number"), ("a{} {} 1\n", "not a series")],
)
def test_a_page_in_another_format_is_refused_and_adds_nothing(page: str, message: str) -> None:
    one = samples("a")
    one.append("a 1\n", 0)
    with pytest.raises(PageError, match=message):
        one.append(page, 5)
    (series,) = named(one, "a")
    assert list(series.values) == [1.0]


def test_a_target_with_very_many_series_is_bounded() -> None:
    one = samples("a")
    one.append("".join(f'a{{x="{number}"}} 1\n' for number in range(MOST_SERIES + 100)), 0)
    assert len(named(one, "a")) <= MOST_SERIES
    assert one.too_many >= 100
    with pytest.raises(PageError, match="lines"):
        one.append("b 1\n" * 100_001, 5)


def test_old_samples_and_series_are_removed() -> None:
    one = samples("a", "b")
    one.append("a 1\nb 1\n", 0)
    for at in range(5, 2_000, 5):
        one.append("a 1\n", float(at))
    assert named(one, "b") == []
    (series,) = named(one, "a")
    assert len(series.times) == len(series.values)
    assert series.times[0] >= 1_995 - RAW_SECONDS - 65


def test_what_expressions_read_is_found() -> None:
    selector, counter = metric("a"), metric("b_total")
    expression = Compare(
        Ratio(Aggregate("sum", ("job",), Rate(counter, 300)), Offset(Rate(counter, 60), WEEK)),
        ">",
        GaugeValue(selector),
    )
    assert set(reads(expression)) == {(counter, 300, 0), (counter, 60, WEEK), (selector, 0, 0)}
    over = Over(metric("h"), 0.1, 60, ("job",))
    assert {(read.selector.name, read.window_seconds) for read in reads(over)} == {
        ("h_bucket", 60),
        ("h_count", 60),
    }


def test_every_rule_has_its_metrics_kept_for_as_long_as_it_reads_them() -> None:
    rules = all_rules(Settings())
    kept = kept_series(rules)
    for rule in rules:
        for expression in (rule.condition.fires, rule.condition.holds):
            for read in reads(expression):
                one = kept[read.selector.name]
                assert read.selector in one.selectors
                is_far = (read.offset_seconds, read.oldest_seconds) in one.far
                assert is_far or read.oldest_seconds <= one.memory_seconds, (rule.name, read)
                if read.oldest_seconds > RAW_SECONDS and read.window_seconds:
                    assert one.spacing_seconds <= read.window_seconds / 4, (rule.name, read)
                for age, spacing in one.coarser:
                    if read.oldest_seconds > age and not is_far:
                        assert spacing <= read.window_seconds / 4, (rule.name, read)
    assert any(one.coarser for one in kept.values())


def run(kept: dict[str, Kept], increments: Sequence[float], step: float) -> AllSamples:
    """Scrape a counter with these increments every `step` seconds."""
    found, value = AllSamples(kept), 0.0
    for number, increment in enumerate(increments):
        value += increment
        found.of("x", TARGET).append(f"b_total {value}\n", number * step)
    return found


@given(st.integers(0, 2**32), st.sampled_from([1_800.0, 3_600.0, 6 * 3_600.0]))
def test_an_increase_over_a_long_window_equals_that_of_all_samples(seed: int, window: float) -> None:
    """Samples further back are thinned out; what a counter rose by stays, but for the window's ends."""
    rng = Random(seed)
    expression = Increase(metric("b_total"), window)
    step, count = 15.0, int(window * 1.2 / 15)
    increments = [rng.choice([0.0, 0.0, 1.0, 7.0]) for _ in range(count)]
    rule_like = {"b_total": Kept((metric("b_total"),), memory_seconds=window, stored_seconds=window)}
    now = (count - 1) * step
    thinned = run(rule_like, increments, step).by_name()
    (of_thinned,) = expression.evaluate(thinned, now).values()
    assert len(thinned["b_total"][0].times) < window / FINEST_SECONDS + RAW_SECONDS / step + 10
    value, values = 0.0, []
    for increment in increments:
        value += increment
        values.append(value)
    exact = Series(frozenset(), [number * step for number in range(count)], values)
    (of_all,) = expression.evaluate({"b_total": [exact]}, now).values()
    assert of_thinned == pytest.approx(of_all, rel=0.05, abs=8 * FINEST_SECONDS / step)


def test_samples_of_days_ago_are_further_apart_than_those_of_hours_ago() -> None:
    selector = metric("b_total")
    kept = Kept((selector,), 60, ((7_200.0, 600.0),), memory_seconds=86_400, stored_seconds=86_400)
    found = run({"b_total": kept}, [1.0] * (86_400 // 30), 30).by_name()["b_total"][0]
    ages = [found.times[-1] - time for time in found.times]
    distances = [later - earlier for earlier, later in zip(found.times, found.times[1:], strict=False)]
    old = [one for age, one in zip(ages, distances, strict=False) if age > 7_200 + 1_800 + 600]
    assert set(old) == {600.0}
    assert len(found.times) < 86_400 / 600 + 9_600 / 60 + 900 / 30 + 20
    assert list(found.values) == [time / 30 + 1 for time in found.times]
