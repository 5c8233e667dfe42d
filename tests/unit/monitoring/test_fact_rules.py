"""The rules about facts read what the facts export, and nothing else."""

from __future__ import annotations

import pytest

from support.exported_facts import declared_facts
from tastemaker.alerting import data_rules, job_rules, model_rules, report_rules
from tastemaker.alerting.rule import Rule
from tastemaker.settings import Settings

FAMILIES = declared_facts()
RULES = [
    rule for module in (data_rules, job_rules, model_rules, report_rules) for rule in module.rules(Settings())
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_reads_labels_that_the_facts_have(rule: Rule) -> None:
    assert rule.exporter == "watch"
    selectors = [*rule.condition.fires.selectors(), *rule.condition.holds.selectors()]
    assert selectors
    for selector in selectors:
        labels = set(FAMILIES[selector.name].labels)
        assert {*rule.labels, *(one.label for one in selector.matchers)} <= labels, selector.promql()
    assert rule.example is not None
    for track in rule.example.tracks:
        family = FAMILIES[track.metric]
        assert set(dict(track.labels)) == {*family.labels, "job", "instance"}, track
