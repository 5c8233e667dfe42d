"""The rules about the watch read what a watch exports from its first scrape on."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from support.alert_rules import assert_all_exported
from tastemaker.alerting import watch_rules
from tastemaker.alerting.exported import WATCH
from tastemaker.alerting.series import Series
from tastemaker.settings import Settings
from tastemaker.watch.watch_metrics import WatchMetrics

OWN = {"job": "tastemaker_watch", "instance": "127.0.0.1:3080"}


def scraped() -> dict[str, list[Series]]:
    found: dict[str, list[Series]] = {}
    for family in text_string_to_metric_families(WatchMetrics(["pager"]).page()):
        for sample in family.samples:
            series = Series(frozenset((sample.labels | OWN).items()), [0.0], [sample.value])
            found.setdefault(sample.name, []).append(series)
    return found


def test_a_watch_exports_what_its_rules_read() -> None:
    assert_all_exported(watch_rules.rules(Settings()), scraped())


def test_the_list_of_exported_metrics_has_all_of_the_watch_and_their_labels() -> None:
    exported = {
        name: set().union(*(dict(one.labels) for one in series)) - set(OWN)
        for name, series in scraped().items()
        if not name.endswith("_created")
    }
    listed = {
        f"tastemaker_{name}": set(labels) for name, labels in WATCH.items() if name.startswith("watch_")
    }
    assert exported == listed
