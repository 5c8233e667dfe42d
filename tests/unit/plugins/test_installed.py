"""Entry points are read once, and again when distributions come, go or change."""

from __future__ import annotations

import shutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest

from support.plugin_sites import Site, model
from tastemaker.plugins.installed import Installed, installed

GROUP = "tastemaker.models"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


def names_of(site: Site) -> list[tuple[str, str, str]]:
    own = {entry.name for entry in site.entries} | {"ant", "bee"}
    return [
        (one.entry.name, one.distribution, one.version) for one in installed(GROUP) if one.entry.name in own
    ]


def test_a_distribution_that_comes_later_is_found_and_one_that_leaves_is_not(site: Site) -> None:
    assert names_of(site) == []
    site.install("two", {"bee": "installed_bee:Model"}, installed_bee=model("bee"))
    assert names_of(site) == [("bee", "two", "1.2")]
    site.install("one", {"ant": "installed_ant:Model"}, installed_ant=model("ant"))
    assert names_of(site) == [("ant", "one", "1.2"), ("bee", "two", "1.2")]
    shutil.rmtree(site.folder / "two-1.2.dist-info")
    assert names_of(site) == [("ant", "one", "1.2")]


def test_a_new_version_of_the_same_entry_point_is_seen(site: Site) -> None:
    site.install("one", {"ant": "installed_ant:Model"}, installed_ant=model("ant"))
    assert names_of(site) == [("ant", "one", "1.2")]
    old = site.folder / "one-1.2.dist-info"
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: one\nVersion: 1.3\n")
    old.rename(site.folder / "one-1.3.dist-info")
    assert names_of(site) == [("ant", "one", "1.3")]


def test_files_are_read_once_while_nothing_changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("one", {"ant": "installed_ant:Model"}, installed_ant=model("ant"))
    read: list[str] = []

    def counted(**selected: Any) -> Any:
        read.append(selected["group"])
        return entry_points(**selected)

    monkeypatch.setattr("tastemaker.plugins.installed.entry_points", counted)
    assert installed(GROUP) == installed(GROUP)
    assert read == [GROUP]


def test_an_entry_point_without_a_distribution_has_an_unknown_one() -> None:
    entry = EntryPoint("ant", "installed_ant:Model", GROUP)
    assert Installed.of(entry) == (entry, "unknown", "unknown")
