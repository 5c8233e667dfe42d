"""Settings come from the environment, else from tastemaker.toml, and all mistakes are reported at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.repository import ROOT
from tastemaker.errors import TastemakerError
from tastemaker.plugins.discovery import get
from tastemaker.settings import load_settings
from tastemaker.workflows.workspace import Workspace

EXAMPLE = ROOT / "deploy" / "production.env"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TASTEMAKER_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.source.name == "simulated"
    assert settings.metadata_url == f"sqlite:///{Path.cwd() / '.tastemaker' / 'tastemaker.db'}"
    assert settings.online_store.type == "sqlite"


def test_the_example_of_production_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in EXAMPLE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.metadata_url.startswith("postgresql+psycopg2://")
    assert (settings.online_store.type, settings.online_store.url) == ("redis", "redis://redis:6379/0")
    assert settings.source.events == "SELECT * FROM events"


def test_the_environment_goes_before_the_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "tastemaker.toml").write_text('seed = 1\nthreads = 3\n[source]\nname = "table"\n')
    monkeypatch.setenv("TASTEMAKER_SEED", "2")
    settings = load_settings()
    assert (settings.seed, settings.threads, settings.source.name) == (2, 3, "table")


def test_all_mistakes_are_reported_at_once(elsewhere: Path) -> None:
    (elsewhere / "tastemaker.toml").write_text('seed = -1\nsede = 3\n[online_store]\ntype = "mongo"\n')
    with pytest.raises(TastemakerError) as raised:
        load_settings()
    for part in ("seed = -1", "sede = 3", "online_store.type = 'mongo'", "tastemaker.toml"):
        assert part in str(raised.value)


def test_a_file_that_is_not_toml_is_reported_with_its_place(elsewhere: Path) -> None:
    (elsewhere / "tastemaker.toml").write_text("seed = 1\nthreads =\n")
    with pytest.raises(TastemakerError, match=r"tastemaker.toml is not valid TOML: .*line 2"):
        load_settings()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_not_a_mistake(elsewhere: Path, encoding: str) -> None:
    (elsewhere / "tastemaker.toml").write_text("seed = 7\n", encoding)
    assert load_settings().seed == 7


def test_a_file_of_another_encoding_is_reported(elsewhere: Path) -> None:
    (elsewhere / "tastemaker.toml").write_text("seed = 7\n", "utf-16")
    with pytest.raises(TastemakerError, match=r"tastemaker\.toml can't be read: .*utf-8.* 0xff") as caught:
        load_settings()
    assert "in UTF-8" in str(caught.value.fix)


def test_a_models_config_comes_from_its_section(elsewhere: Path) -> None:
    (elsewhere / "tastemaker.toml").write_text("[models.trending]\nhalf_life_days = 3.5\n")
    workspace = Workspace(load_settings())
    assert workspace.config(get("trending")).model_dump()["half_life_days"] == 3.5
    assert workspace.config(get("popularity")) == get("popularity").recommender.config_type()


def test_a_wrong_config_names_each_hyperparameter(elsewhere: Path) -> None:
    (elsewhere / "tastemaker.toml").write_text("[models.trending]\nhalf_life_days = -1\nhalf_live = 2\n")
    workspace = Workspace(load_settings())
    with pytest.raises(TastemakerError) as raised:
        workspace.config(get("trending"))
    for part in ("half_life_days = -1", "half_live = 2", "tastemaker models show trending"):
        assert part in str(raised.value)
