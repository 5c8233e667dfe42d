"""Rules that an installed distribution brings: listed and written as ours, or refused with the reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.exported_facts import declared_facts
from support.promtool import run_promtool
from support.repository import ROOT
from tastemaker.alerting import exported, generate
from tastemaker.alerting.plugin_rules import GROUP, _faults
from tastemaker.alerting.rules import all_rules
from tastemaker.cli.alerts import alerts
from tastemaker.errors import PluginError
from tastemaker.settings import Settings

PAGE = ROOT / "docs" / "how-to" / "alert-rules.md"
MODULE, *_ = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
"""The module that the page shows."""
VARIED = """
from dataclasses import replace


def varied(settings):
    (backlog,) = rules(settings)
    return {returned}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, and a working folder without tastemaker.toml."""
    folder, here = tmp_path / "site", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(folder)
    return folder


def install(site: Path, returned: str = "[backlog]") -> None:
    """Install a distribution with the page's module, whose function returns this."""
    (site / "shop_rules.py").write_text(MODULE + VARIED.format(returned=returned))
    info = site / "shop_rules-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-rules\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nshop = shop_rules:varied\n")
    sys.modules.pop("shop_rules", None)


def test_a_rule_of_a_plugin_is_listed_with_its_distribution(site: Path) -> None:
    install(site)
    last = all_rules(Settings())[-1]
    assert (last.name, last.brought_by) == ("shop_backlog", "shop-rules 1.2")
    listed = CliRunner().invoke(alerts, ["rules"]).output
    assert "shop_backlog  ticket  More than 100,000 log records were not shipped.  (shop-rules 1.2)" in listed
    assert "(tastemaker)" not in listed
    by_name = {
        rule["name"]: rule for rule in json.loads(CliRunner().invoke(alerts, ["rules", "--json"]).output)
    }
    assert by_name["shop_backlog"]["brought_by"] == "shop-rules 1.2"
    assert by_name["fallback_share"]["brought_by"] == "tastemaker"
    disabled = Settings.model_validate({"alerts": {"disabled": ["shop_backlog"]}})
    assert "shop_backlog" not in [rule.name for rule in all_rules(disabled)]


@pytest.mark.processes
def test_its_files_are_written_and_promtool_accepts_them(site: Path, tmp_path: Path) -> None:
    install(site)
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [str(Path(sys.executable).with_name("tastemaker")), "alerts", "rules", "--out", str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": paths})
    tested = run_promtool("test", "rules", tmp_path / generate.TESTS / "shop_backlog.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert (
        "Does `tastemaker ship --follow` run?"
        in (tmp_path / generate.RUNBOOKS / "shop_backlog.md").read_text()
    )
    index = (tmp_path / generate.RUNBOOKS / "README.md").read_text()
    assert "[shop_backlog](shop_backlog.md)" in index


@pytest.mark.parametrize(
    ("returned", "message", "fix"),
    [
        ('[replace(backlog, name="errors")]', "'errors' has a name that is taken, by tastemaker", "another"),
        ("[backlog, backlog]", "'shop_backlog' has a name that is taken, by shop-rules 1.2", "another name"),
        ('[replace(backlog, name="Shop-Backlog")]', "not lower case words joined by _", "basket_errors"),
        ('[replace(backlog, labels=("job", "modle"))]',
         "names the label 'modle', which tastemaker_log_backlog_records does not have", "instance, job"),
        ('[replace(backlog, condition=above(Gauge(metric("tastemaker_log_backlog_recods")), 1, "More."))]',
         "reads tastemaker_log_backlog_recods, which the exporter 'service' does not have",
         "did you mean tastemaker_log_backlog_records"),
        ('[replace(backlog, condition=above(Gauge(metric("tastemaker_gate_passed")), 1, "More."))]',
         "reads tastemaker_gate_passed, which the exporter 'service' does not have", "exporter='watch'"),
        ('[replace(backlog, summary="{model}: too many")]', "its summary has {model}", "{value}"),
        ('[replace(backlog, inhibited_by=("service_dwn",))]', "'service_dwn', which is not a rule",
         "did you mean service_down"),
        ('[replace(backlog, inhibited_by=("service_down",), for_seconds=30)]',
         "fires after 30 s, no later than service_down", "for_seconds above 30"),
        ("[replace(backlog, example=None)]", "has no example", "tests for promtool"),
        ('[replace(backlog, example=Example((gauge("log_backlog_records", 10, 20),)))]',
         "does not fire during the fault of its example", "example or the condition"),
        ('[replace(backlog, example=Example((gauge("log_backlog_records", 200_000, 300_000),)))]',
         "fires while its example is healthy", "example or the condition"),
        ('["a text"]', "'a text', which is not a tastemaker.alerting.rule.Rule", "uninstall shop-rules 1.2"),
        ("None", "TypeError: 'NoneType' object is not iterable", "uninstall shop-rules 1.2"),
        ("1 / 0", "ZeroDivisionError", "uninstall shop-rules 1.2"),
    ],
)  # fmt: skip
def test_a_rule_that_can_not_work_is_refused_with_the_reason(
    site: Path, returned: str, message: str, fix: str
) -> None:
    install(site, returned)
    with pytest.raises(PluginError) as caught:
        all_rules(Settings())
    assert message in caught.value.problem
    assert "shop-rules 1.2" in caught.value.problem
    assert caught.value.fix is not None
    assert fix in caught.value.fix


def test_a_module_that_is_missing_is_named(site: Path) -> None:
    install(site)
    (site / "shop_rules.py").unlink()
    with pytest.raises(PluginError, match=r"entry point 'shop' \(shop_rules:varied\).*No module named"):
        all_rules(Settings())


def test_our_own_rules_meet_what_plugins_must() -> None:
    rules = {rule.name: rule for rule in all_rules(Settings())}
    for rule in rules.values():
        if rule.name != "watchdog":
            assert list(_faults(rule, rules)) == [], rule.name


def test_what_the_watch_exports_is_known() -> None:
    known = exported.names("watch")
    for name, family in declared_facts().items():
        assert known[name] == {*exported.SCRAPED, *family.labels}, name
