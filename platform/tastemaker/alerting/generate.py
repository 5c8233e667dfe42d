"""The files that are written from the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tastemaker.alerting.prometheus_files import alertmanager, prometheus_rules
from tastemaker.alerting.promtool_tests import promtool_tests
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.runbooks import index, runbook
from tastemaker.alerting.yaml_text import yaml_text
from tastemaker.util.atomic_files import atomic_write

PROMETHEUS, ALERTMANAGER = Path("deploy/prometheus"), Path("deploy/alertmanager")
RULES, TESTS = PROMETHEUS / "rules", PROMETHEUS / "tests"
"""A file of rules per cause, and a file of tests per rule."""
RUNBOOKS = Path("docs/how-to/runbooks")
GENERATED = "Written by `tastemaker alerts rules`, from platform/tastemaker/alerting. Do not edit."
THRESHOLDS = "Thresholds are settings: [alerts.NAME] in tastemaker.toml."
RECEIVERS = (
    "The receivers read their secrets from the files named here. The heartbeat goes to a dead man's switch: "
    "replace its address. The watch is `tastemaker watch --facts-only`; remove its route if none runs."
)


def files(rules: Sequence[Rule], runbooks: str) -> Mapping[Path, str]:
    """Return relative path -> content of all files.

    Args:
        rules: All rules of the platform.
        runbooks: Folder or URL of the runbooks, to which alerts link.
    """
    written = {
        ALERTMANAGER / "alertmanager.yml": yaml_text(alertmanager(rules), GENERATED, RECEIVERS),
        RUNBOOKS / "README.md": index(rules),
    }
    for cause in {rule.cause: None for rule in rules}:
        caused = [rule for rule in rules if rule.cause == cause]
        text = yaml_text(prometheus_rules(caused, runbooks), GENERATED, THRESHOLDS)
        written[RULES / f"{cause}.yml"] = text
    for rule in rules:
        tests = promtool_tests(rule, runbooks, f"../{RULES.name}/{rule.cause}.yml")
        written[TESTS / f"{rule.name}.yml"] = yaml_text(tests, GENERATED)
        written[RUNBOOKS / f"{rule.name}.md"] = runbook(rule, rules)
    return written


def write(folder: Path, contents: Mapping[Path, str]) -> list[Path]:
    """Write the files that differ from what is there, and return their paths below the folder.

    Args:
        folder: The root of the repository, or another folder; folders below it are made.
        contents: Path below the folder -> content, from `files`.
    """
    changed = []
    for path, text in contents.items():
        target = folder / path
        if not target.exists() or target.read_text("utf-8") != text:
            with atomic_write(target) as partial:
                partial.write_text(text, "utf-8")
            changed.append(path)
    return changed
