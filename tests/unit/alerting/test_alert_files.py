"""The files that are written from the rules: committed as written, and accepted by the real tools."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.promtool import run_amtool, run_promtool
from support.repository import ROOT
from tastemaker.alerting import generate
from tastemaker.alerting.rules import all_rules
from tastemaker.cli.alerts import alerts
from tastemaker.settings import Settings

ALERTMANAGER = ROOT / generate.ALERTMANAGER / "alertmanager.yml"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without tastemaker.toml."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_committed_files_are_those_that_the_rules_write() -> None:
    settings = Settings()
    written = generate.files(all_rules(settings), settings.alerts.runbooks)
    for path, text in written.items():
        assert (ROOT / path).read_text("utf-8") == text, f"{path}: run tastemaker alerts rules --out ."
    folders = (generate.PROMETHEUS, generate.ALERTMANAGER, generate.RUNBOOKS)
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    there = {path.relative_to(ROOT) for path in paths}
    assert there == set(written), "a file that no rule writes"


@pytest.mark.processes
def test_promtool_accepts_the_rules() -> None:
    checked = run_promtool("check", "rules", *sorted((ROOT / generate.RULES).iterdir()))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = [int(n) for n in re.findall(r"(\d+) rules found", checked.stdout)]
    assert sum(found) == len(all_rules(Settings()))


@pytest.mark.processes
@pytest.mark.slow
def test_promtool_finds_that_every_rule_fires_and_resolves() -> None:
    """The expected values are the evaluator's own: a difference between the two fails here."""
    tested = run_promtool("test", "rules", *sorted((ROOT / generate.TESTS).iterdir()))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.processes
def test_amtool_accepts_the_routes() -> None:
    checked = run_amtool("check-config", ALERTMANAGER)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.processes
@pytest.mark.parametrize(
    ("severity", "receivers"),
    [("page", "watch,pager"), ("ticket", "watch,tickets"), ("none", "heartbeat")],
)
def test_each_severity_has_its_receivers(severity: str, receivers: str) -> None:
    routed = run_amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", f"severity={severity}")
    assert routed.stdout.strip() == receivers, routed.stderr


@pytest.mark.processes
def test_the_command_lists_the_rules_and_writes_their_files(tmp_path: Path) -> None:
    listed = CliRunner().invoke(alerts, ["rules"])
    assert listed.exit_code == 0
    assert "fallback_share  page  More than 5 %" in listed.output
    names = [rule["name"] for rule in json.loads(CliRunner().invoke(alerts, ["rules", "--json"]).output)]
    assert names == [rule.name for rule in all_rules(Settings())]
    first = CliRunner().invoke(alerts, ["rules", "--out", str(tmp_path / "out")])
    assert f"wrote {generate.RULES / 'answers.yml'}" in first.output
    assert "nothing changed" in CliRunner().invoke(alerts, ["rules", "--out", str(tmp_path / "out")]).output
    (tmp_path / "tastemaker.toml").write_text("[alerts.fallback_share]\nabove = 0.4\n")
    CliRunner().invoke(alerts, ["rules", "--out", str(tmp_path / "out")])
    rules = tmp_path / "out" / generate.RULES / "answers.yml"
    assert "> 0.4" in rules.read_text()
    tested = run_promtool("check", "rules", rules)
    assert tested.returncode == 0, tested.stdout + tested.stderr
