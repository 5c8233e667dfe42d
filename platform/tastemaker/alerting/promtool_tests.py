"""Unit tests of the rules for promtool: without data, healthy, with gaps and resets, firing, resolved.

What promtool is to find is computed by the evaluator here, so that the tests compare both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tastemaker.alerting.example import UP, Example, with_reset
from tastemaker.alerting.prometheus_files import alert_annotations, rule_labels
from tastemaker.alerting.promql_text import duration
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.samples import GAP, Sampled, SampledValue, as_series, input_series
from tastemaker.alerting.series import Labels

Test = dict[str, Any]
SLOW_SECONDS = 86_400
"""An example that lasts longer is evaluated seldom."""
GAP_STEPS = 4


def promtool_tests(rule: Rule, runbooks: str, rule_file: str) -> Test:
    """Return a document for `promtool test rules`.

    Args:
        rule: The rule, whose example shows the fault; without an example it must always fire.
        runbooks: Folder or URL of the runbooks, as in the rule file.
        rule_file: Path of the file with the rules, from the folder of the tests.
    """
    example = rule.example
    return {
        "rule_files": [rule_file],
        "evaluation_interval": duration(30 if example is None else _evaluated_every(example)),
        "tests": [_always(rule, runbooks)] if example is None else list(_tests(rule, example, runbooks)),
    }


def _evaluated_every(example: Example) -> int:
    lasts = (example.healthy_steps + example.faulty_steps + example.healed_steps) * example.step_seconds
    return 1_800 if lasts > SLOW_SECONDS else 30


def _tests(rule: Rule, example: Example, runbooks: str) -> Iterator[Test]:
    healthy, faulty, healed = example.healthy_steps, example.faulty_steps, example.healed_steps
    whole: Sampled = example.phases((healthy, "healthy"), (faulty, "faulty"), (healed, "healthy"))
    checks = [(healthy, False), (healthy + faulty, True), (healthy + faulty + healed, False)]
    yield _test(rule, example, runbooks, "silent while healthy, fires, resolves", whole, checks)
    well = example.phases((healthy + 20, "healthy"))
    reset: Sampled = {
        (track.metric, track.labels): with_reset(track, well[track.metric, track.labels], healthy)
        for track in example.tracks
    }
    later = [(healthy + steps, False) for steps in (6, 12, 20)]
    yield _test(rule, example, runbooks, "silent when the process starts again", reset, later)
    gap: Sampled = {
        key: [*values[:healthy], *[GAP] * GAP_STEPS, *values[healthy + GAP_STEPS :]]
        for key, values in well.items()
    }
    yield _test(rule, example, runbooks, "silent when scrapes are missing", gap, later)
    if example.fires_from_start:
        start: Sampled = example.phases((faulty, "faulty"))
        yield _test(rule, example, runbooks, "fires when it starts with the fault", start, [(faulty, True)])
    nothing: Sampled = {}
    if not example.fires_without_data:
        nothing = {(UP.metric, UP.labels): [1.0] * 40}
    name = f"{'fires' if example.fires_without_data else 'silent'} without data"
    yield _test(rule, example, runbooks, name, nothing, [(30, example.fires_without_data)])


def _test(
    rule: Rule,
    example: Example,
    runbooks: str,
    name: str,
    sampled: Sampled,
    checks: Iterable[tuple[int, bool]],
) -> Test:
    """Return a test that checks at these steps whether the rule fires."""
    series, step = as_series(sampled, example.step_seconds), example.step_seconds
    found = []
    for steps, fires in checks:
        now = steps * step
        now -= now % _evaluated_every(example)
        alerts = rule.condition.fires.evaluate(series, now) if fires else {}
        found.append(_check(rule, runbooks, now, alerts))
    return {
        "name": f"{rule.name}: {name}",
        "interval": duration(step),
        "input_series": input_series(sampled),
        "alert_rule_test": found,
    }


def _check(rule: Rule, runbooks: str, now: float, alerts: Mapping[Labels, float]) -> Test:
    check: Test = {"eval_time": duration(now), "alertname": rule.alert}
    expected = []
    for labels, value in alerts.items():
        summary = rule.text(dict(labels), value)
        expected.append(
            {
                "exp_labels": dict(sorted(labels)) | rule_labels(rule),
                "exp_annotations": alert_annotations(rule, runbooks) | {"summary": summary},
            }
        )
    return check | {"exp_alerts": expected} if expected else check


def _always(rule: Rule, runbooks: str) -> Test:
    return {
        "name": f"{rule.name}: fires without data",
        "interval": "15s",
        "input_series": input_series({(UP.metric, UP.labels): list[SampledValue]([1.0])}),
        "alert_rule_test": [_check(rule, runbooks, 60, rule.condition.fires.evaluate({}, 60))],
    }
