"""Files for contributors: issue forms, hooks before a commit, versions, the changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pre_commit.languages import pygrep
from ruamel.yaml import YAML

from support.repository import ROOT
from tastemaker._version import __version__

FORMS = sorted(
    path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
)


def _yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text("utf-8"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_the_format_requires(path: Path) -> None:
    form = _yaml(path)
    assert {"name", "description", "body"} <= form.keys()
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    for part in form["body"]:
        assert part["type"] in {"checkboxes", "dropdown", "input", "markdown", "textarea"}
        assert part["attributes"]["label"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    assert {path.stem for path in FORMS} == {"bug", "feature", "model", "source"}


def test_hooks_before_a_commit_are_local_and_their_programs_are_installed() -> None:
    repositories = _yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert {one["repo"] for one in repositories} == {"local"}
    hooks = [hook for one in repositories for hook in one["hooks"]]
    assert {hook["id"] for hook in hooks} == {"ruff", "ruff-format", "words", "subject"}
    for hook in hooks[:3]:
        assert hook["language"] == "system"
        words = hook["entry"].split()
        assert words[0].startswith(".venv/bin/")
        assert all((ROOT / word).exists() for word in words if word.startswith("tests/"))


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("serving: refuse a body without a length\n\nWhy: it was read to its end.\n", 0),
        (f"event_log: {'a' * 61}\n", 0),
        (f"event_log: {'a' * 62}\n", 1),
        ("Refuse a body without a length\n", 1),
        ("Serving: refuse a body\n", 1),
        ("fix\n\nserving: refuse a body\n", 1),
    ],
)
def test_the_hook_refuses_other_subjects_of_commits(tmp_path: Path, message: str, status: int) -> None:
    (hook,) = (
        hook
        for one in _yaml(ROOT / ".pre-commit-config.yaml")["repos"]
        for hook in one["hooks"]
        if hook["id"] == "subject"
    )
    path = tmp_path / "COMMIT_EDITMSG"
    path.write_text(message)
    assert pygrep.main([*hook["args"], hook["entry"], str(path)]) == status


def test_models_have_the_version_of_the_platform() -> None:
    versions = {
        path.parent.name: tomllib.loads(path.read_text("utf-8"))["project"]["version"]
        for path in ROOT.glob("models/*/pyproject.toml")
    }
    assert versions
    assert set(versions.values()) == {__version__}, versions


def test_the_changelog_has_the_headings_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", one) for one in sections[1:])
    headings = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= headings
    body = text.partition("## Unreleased")[2]
    bullets = re.findall(r"^- .*(?:\n  .*)*", body, re.MULTILINE)
    assert bullets
    assert [one for one in bullets if len(one) > 300] == [], "one fact per bullet; link to the page"
