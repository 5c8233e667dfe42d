"""Modules and objects that the documentation names exist."""

from __future__ import annotations

import importlib
import re
from functools import cache
from importlib.metadata import entry_points

import pytest

from support.repository import ROOT
from tastemaker.alerting import plugin_rules
from tastemaker.settings import Settings

NAME = re.compile(r"`(tastemaker(?:_[a-z]+)?(?:\.\w+)+)(?:\(\))?`")
FILES = {".toml", ".yaml", ".db"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "models/*/README.md", "deploy/*.md")
    for path in ROOT.glob(pattern)
)


@cache
def _exists(name: str) -> bool:
    """Whether a dotted name is a module, an attribute of one, or a group of entry points."""
    if name in entry_points().groups or name == plugin_rules.GROUP:  # no distribution of ours has rules
        return True
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            fields = getattr(found, "model_fields", {}) | getattr(found, "__dataclass_fields__", {})
            if not hasattr(found, part) and part not in fields:
                return False
            found = getattr(found, part, None)
        return True
    return False


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("page", PAGES)
def test_the_names_on_a_page_exist(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    names = {name for name in NAME.findall(text) if not name.endswith(tuple(FILES))}
    assert {name for name in names if not _exists(name)} == set()


SETTING = re.compile(
    r"`((?:source|online_store|log|retrieval|serving|privacy|learning|promotion)\.[a-z_.]+)`"
)


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_on_a_page_exist(page: str) -> None:
    named = {name.partition(".")[::2] for name in SETTING.findall((ROOT / page).read_text("utf-8"))}
    assert {(section, key) for section, key in named if not _is_setting(section, key)} == set()


def _is_setting(section: str, key: str) -> bool:
    fields = getattr(Settings.model_fields[section].annotation, "model_fields", {})
    return key.partition(".")[0] in fields and ("." not in key or key.startswith("options."))


def test_a_name_that_is_gone_is_found() -> None:
    assert _exists("tastemaker.plugins.Recommender.fit")
    assert not _exists("tastemaker.plugins.NoSuchThing")
    assert not _exists("tastemaker.no_such_module")
    assert _is_setting("serving", "allowed_hosts")
    assert not _is_setting("serving", "http.allowed_hosts")
