"""feature_repo/ as Feast's own command sees it, and as the platform registers it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING, Any

import pytest
from click import ClickException

from support.feature_lakes import END, filled
from support.repository import ROOT
from tastemaker.errors import PluginError, TastemakerError
from tastemaker.features import ITEM_FEATURES, USER_FEATURES
from tastemaker.features.snapshots import write_snapshots
from tastemaker.plugins.discovery import find
from tastemaker.settings import Settings
from tastemaker_features import store
from tastemaker_features.services import model_services

if TYPE_CHECKING:
    from feast import FeatureService

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's and Ibis's own

FEATURE_REPO = ROOT / "feature_repo"


def test_the_yaml_is_the_configuration_of_the_default_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    from feast.repo_config import load_repo_config

    written = load_repo_config(FEATURE_REPO, FEATURE_REPO / "feature_store.yaml")
    made = store.repo_config(Settings())
    assert written.model_copy(update={"repo_path": None}) == made
    assert written.online_store == made.online_store
    assert written.offline_store == made.offline_store
    assert written.registry == made.registry


def test_feasts_command_registers_what_the_platform_does(tmp_path: Path) -> None:
    """Each object once, though the package may be imported both as installed and from the folder."""
    command = [str(Path(sys.executable).with_name("feast")), "apply"]
    environment = {**os.environ, "TASTEMAKER_HOME": str(tmp_path / "command")}
    applied = subprocess.run(
        command, cwd=FEATURE_REPO, env=environment, capture_output=True, text=True, check=False
    )
    assert applied.returncode == 0, applied.stderr
    settings = Settings(home=tmp_path / "platform")
    assert sorted(store.apply(settings)) == _registered(settings)
    assert _registered(Settings(home=tmp_path / "command")) == _registered(settings)


def test_feasts_command_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", "somewhere/relative")
    with pytest.raises(ClickException, match="TASTEMAKER_HOME must be an absolute path"):
        run_path(str(FEATURE_REPO / "repository.py"))


def test_each_model_has_a_service_of_the_features_that_it_reads(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store.apply(settings)
    services = _services(settings)
    plugins = find().sound
    assert services.keys() == {plugin.name for plugin in plugins}
    for plugin in plugins:
        reads = plugin.recommender.capabilities
        views = {view.name: view for view in services[plugin.name].feature_view_projections}
        found = {name: tuple(feature.name for feature in view.features) for name, view in views.items()}
        declared = {"user_features": reads.user_features, "item_features": reads.item_features}
        assert found == {name: names for name, names in declared.items() if names}


def test_views_hold_every_feature_with_its_meaning(tmp_path: Path) -> None:
    defined = store.definitions(Settings(home=tmp_path))
    for view, expected in ((defined.users, (*USER_FEATURES, "country")), (defined.items, ITEM_FEATURES)):
        assert tuple(feature.name for feature in view.features) == expected
        assert all(feature.description for feature in view.features)


def test_the_service_of_a_model_that_is_gone_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    store.apply(settings)
    installed = find()
    fewer = replace(installed, sound=installed.sound[1:])
    monkeypatch.setattr(store, "find", lambda: fewer)
    assert installed.sound[0].name not in store.apply(settings)
    assert _services(settings).keys() == set(fewer.names)


def test_a_model_that_reads_an_unknown_feature_is_named() -> None:
    class Wishful(find().sound[0].recommender):  # type: ignore[misc]
        capabilities = replace(find().sound[0].recommender.capabilities, user_features=("shoe_size",))

    plugin = find().sound[0]._replace(name="wishful", recommender=Wishful)
    defined = store.definitions(Settings())
    with pytest.raises(PluginError, match="model wishful reads features that do not exist: shoe_size"):
        model_services([plugin], defined.users, defined.items)


def test_materializing_before_any_snapshot_says_so(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store.apply(settings)
    with pytest.raises(TastemakerError, match="no snapshot of the users' features at or before 2020-11-12"):
        store.materialize(settings, END)
    write_snapshots(filled(settings.lake), settings.features, [END])
    with pytest.raises(TastemakerError, match="no snapshot"):
        store.materialize(settings, END - 1)


def _registered(settings: Settings) -> list[str]:
    with store.open_store(settings) as opened:
        entities = [entity for entity in opened.list_entities() if entity.name != "__dummy"]
        objects: list[Any] = [*entities, *opened.list_feature_views(), *opened.list_feature_services()]
    return sorted(each.name for each in objects)


def _services(settings: Settings) -> dict[str, FeatureService]:
    with store.open_store(settings) as opened:
        return {service.name: service for service in opened.list_feature_services()}
