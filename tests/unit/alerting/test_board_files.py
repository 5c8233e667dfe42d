"""The boards are committed as the code writes them, and each panel says what it shows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import combinations
from urllib.parse import parse_qs, urlsplit

import pytest

from support.repository import ROOT
from tastemaker.alert_settings import AlertsSettings, ErrorsAlert
from tastemaker.alerting.exported import SERVICE, WATCH
from tastemaker.alerting.grafana.board_link import board_link
from tastemaker.alerting.grafana.boards import GRAFANA, all_boards, grafana_files
from tastemaker.alerting.grafana.panel import COLUMNS, SCHEMA_VERSION, Board
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.rules import all_rules
from tastemaker.settings import Settings
from tastemaker.watch.watch_metrics import WatchMetrics

BOARDS = all_boards(Settings())
EACH_BOARD = pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])


def test_the_committed_files_are_those_that_the_code_writes() -> None:
    written = grafana_files(Settings())
    for path, text in written.items():
        assert (ROOT / path).read_text("utf-8") == text, f"{path}: run tastemaker alerts rules --out ."
    there = {path.relative_to(ROOT) for path in (ROOT / GRAFANA).rglob("*") if path.is_file()}
    assert there == set(written), "a file that no code writes"


@EACH_BOARD
def test_every_panel_has_a_description_a_unit_and_legends(board: Board) -> None:
    for panel in board.panels:
        assert panel.description.endswith("."), panel.title
        assert panel.unit
        assert panel.queries
        for query in panel.queries:
            assert query.legend, panel.title
            labels = set(re.findall(r"{{(\w+)}}", query.legend))
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r" by \(([^)]*)\)", query.expression))))
            assert labels <= grouped or query.expression.startswith("up{"), (panel.title, query)
    titles = [panel.title for panel in board.panels]
    assert len(set(titles)) == len(titles)


@EACH_BOARD
def test_panels_do_not_overlap_and_have_numbers_of_their_own(board: Board) -> None:
    panels = board.to_json("tastemaker")["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@EACH_BOARD
def test_thresholds_name_the_alert_rule_that_has_them(board: Board) -> None:
    names = {rule.name for rule in all_rules(Settings())}
    for panel in board.panels:
        if panel.threshold is not None:
            assert panel.threshold.rule in names, panel.title
            steps = panel.to_json(1, 0, 0)["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert [step["value"] for step in steps] == [None, panel.threshold.value]


def test_thresholds_are_those_of_the_settings() -> None:
    settings = Settings(alerts=AlertsSettings(errors=ErrorsAlert(above=0.123), job="shop"))
    text = grafana_files(settings)[GRAFANA / "service.json"]
    assert json.dumps(0.123) in text
    assert '"value": "shop"' in text


def test_the_schemas_version_is_pinned() -> None:
    """Another version means that the boards were looked at in a Grafana that has it."""
    assert SCHEMA_VERSION == 39
    for board in BOARDS:
        written = board.to_json("tastemaker")
        assert written["schemaVersion"] == 39
        assert written["uid"] == f"tastemaker-{board.name}"
    assert len({board.name for board in BOARDS}) == len(BOARDS) == 4


@EACH_BOARD
def test_boards_read_what_is_exported(board: Board) -> None:
    """By a service, by the facts of the watch, or by the watch about itself."""
    own = {family.name for family in WatchMetrics([]).registry.collect()}
    known = {f"tastemaker_{name}" for name in (*SERVICE, *WATCH)} | own | {f"{name}_total" for name in own}
    for panel in board.panels:
        for query in panel.queries:
            for name in re.findall(r"\btastemaker_\w+", query.expression):
                assert re.sub(r"_(bucket|count|sum)$", "", name) in known, name


@pytest.mark.parametrize("rule", all_rules(Settings()), ids=lambda rule: rule.name)
def test_an_alert_links_to_a_board_and_panel_that_are_in_the_committed_files(rule: Rule) -> None:
    began_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    address = urlsplit(board_link("https://grafana/", rule.name, rule.cause, began_at, Settings()))
    uid, query = address.path.removeprefix("/d/"), parse_qs(address.query)
    committed = [json.loads(path.read_text("utf-8")) for path in sorted((ROOT / GRAFANA).glob("*.json"))]
    [board] = [one for one in committed if one["uid"] == uid]
    assert query["from"] == [str(int(began_at.timestamp() - 3_600) * 1_000)]
    assert {f"var-{one['name']}" for one in board["templating"]["list"]} >= query.keys() - {
        "from", "to", "viewPanel",
    }  # fmt: skip
    text = f"the alert rule {rule.name}."
    named = [one["id"] for one in board["panels"] if text in one.get("description", "")]
    assert [int(number) for number in query.get("viewPanel", [])] == named[-1:]
