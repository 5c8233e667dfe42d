"""Mistyped environment variables and keys are refused with the name that was meant; others are left alone."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import TastemakerError
from tastemaker.plugins.discovery import get
from tastemaker.settings import Settings, load_settings
from tastemaker.util.unknown_settings import OTHERS, PREFIX, _names, mistyped_variables
from tastemaker.workflows.workspace import Workspace

MEANT = {
    "TASTEMAKER_SOURC__NAME": "TASTEMAKER_SOURCE__NAME",
    "TASTEMAKER_HOMEE": "TASTEMAKER_HOME",
    "TASTEMAKER_HOM": "TASTEMAKER_HOME",
    "TASTEMAKER_SOURCE_NAME": "TASTEMAKER_SOURCE__NAME",
    "TASTEMAKER_ONLINESTORE__TYPE": "TASTEMAKER_ONLINE_STORE__TYPE",
    "TASTEMAKER_DATABSE_URL": "TASTEMAKER_DATABASE_URL",
    "TASTEMAKER_MODLES__EASE__REGULARIZATION": "TASTEMAKER_MODELS__EASE__REGULARIZATION",
    "TASTEMAKER_SEDE": "TASTEMAKER_SEED",
    "TASTEMAKER_PSEUDONYM_KYE": "TASTEMAKER_PSEUDONYM_KEY",
    "TASTEMAKER_PRIVACY_LOG_DAYS": "TASTEMAKER_PRIVACY__LOG_DAYS",
    "tastemaker_homee": "TASTEMAKER_HOME",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize("name", MEANT)
def test_a_mistyped_variable_is_refused_with_a_suggestion(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(TastemakerError) as refused:
        load_settings()
    assert f"{name}: there is no such setting; did you mean {MEANT[name]}?" in str(refused.value)


@pytest.mark.parametrize("name", ["TASTEMAKR_HOME", "TASTE_MAKER_SOURCE__PATH", "TASTMAKER_API_KEY"])
def test_a_mistyped_prefix_is_reported(name: str) -> None:
    known = name.split("R_", 1)[1]
    assert mistyped_variables([name], Settings) == [
        f"{name}: there is no such variable; did you mean {PREFIX}{known}?"
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(f"{PREFIX}{name}" for name in (*OTHERS, *_names(Settings), "MODELS__EASE__REGULARIZATION")),
        *("TASTEMAKER_SERVICE_HOST", "TASTEMAKER_PORT_3000_TCP_ADDR", "TASTEMAKER_SERVICE_PORT_HTTP"),
        *("TASTEMAKER_XYZ", "HOMEE", "TASTERS_HOME"),
    ],
)
def test_settings_and_other_variables_are_accepted(name: str) -> None:
    assert mistyped_variables([name], Settings) == []


@given(st.sampled_from(_names(Settings)), st.data())
def test_one_more_letter_is_found(name: str, data: st.DataObject) -> None:
    head, *rest = name.split("__")
    at = data.draw(st.integers(0, len(head)))
    letter = data.draw(st.sampled_from(string.ascii_uppercase))
    typed = "__".join([head[:at] + letter + head[at:], *rest])
    found = mistyped_variables([PREFIX + typed], Settings)
    assert len(head) < 4 or (found and "did you mean TASTEMAKER_" in found[0])


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("sede = 3", "sede = 3: Extra inputs are not permitted; did you mean seed?"),
        ('[sourc]\nname = "table"', "did you mean source?"),
        (
            '[source]\nnmae = "table"',
            "source.nmae = 'table': Extra inputs are not permitted; did you mean",
        ),
        ("[serving]\nmodel_second = 1", "did you mean model_timeout_seconds?"),
        ("[model.ease]\nx = 1", "did you mean models?"),
    ],
)
def test_a_mistyped_key_is_refused_with_a_suggestion(elsewhere: Path, toml: str, said: str) -> None:
    (elsewhere / "tastemaker.toml").write_text(toml)
    with pytest.raises(TastemakerError) as refused:
        load_settings()
    assert said in str(refused.value)


def test_a_mistyped_key_in_the_environment_below_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_SOURCE__PAHT", "x.csv")
    with pytest.raises(TastemakerError, match=r"source.paht = 'x.csv': .*; did you mean path\?"):
        load_settings()


def test_a_mistyped_hyperparameter_is_refused_with_a_suggestion(elsewhere: Path) -> None:
    (elsewhere / "tastemaker.toml").write_text("[models.trending]\nhalf_live_days = 2\n")
    with pytest.raises(TastemakerError, match=r"half_live_days = 2: .*; did you mean half_life_days\?"):
        Workspace(load_settings()).config(get("trending"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TASTEMAKER_SOURCE__ITEM_COLUMNS", "brand,description"),
        ("TASTEMAKER_SOURCE__COLUMNS", "{user_id: customer}"),
        ("TASTEMAKER_SOURCE", "orders.csv"),
        ("TASTEMAKER_MODELS", "{"),
        ("TASTEMAKER_SOURCE", "{name: table"),
    ],
)
def test_a_variable_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("TASTEMAKER_SEED", "7")
    monkeypatch.setenv(name, value)
    with pytest.raises(TastemakerError) as caught:
        load_settings()
    assert f"{name} is not JSON" in str(caught.value)
    assert "\n  fix: write a list as" in str(caught.value)


def test_a_secret_of_the_same_value_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_SOURCE", "hunter")
    monkeypatch.setenv("TASTEMAKER_DASHBOARD_PASSWORD", "hunter")
    with pytest.raises(TastemakerError) as caught:
        load_settings()
    assert "PASSWORD" not in str(caught.value)
