"""The dashboards that are shipped for Superset read the views as they are, and their bundle has no secret."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from ruamel.yaml import YAML
from sqlalchemy import make_url

from support.repository import ROOT
from tastemaker.storage.views import views

READER = YAML(typ="safe")
FOLDER = ROOT / "deploy" / "superset"
EXPORT = FOLDER / "export"
DATASETS = {path.stem: READER.load(path) for path in EXPORT.glob("datasets/*/*.yaml")}
CHARTS = {path.stem: READER.load(path) for path in EXPORT.glob("charts/*.yaml")}
URL = "postgresql+psycopg2://tastemaker_bi@db.example/tastemaker"


def columns_of(params: Any) -> set[str]:
    """Return the columns that a chart's parameters name."""
    found = {params.get("x_axis"), *params.get("groupby", []), *params.get("all_columns", [])}
    found |= {*params.get("groupbyRows", []), *params.get("groupbyColumns", [])}
    found |= {one["column"]["column_name"] for one in params.get("metrics", [])}
    return {*found, *(one["subject"] for one in params["adhoc_filters"])} - {None}


def test_each_view_is_a_dataset_with_its_columns() -> None:
    found = {name: [column["column_name"] for column in one["columns"]] for name, one in DATASETS.items()}
    assert found == {name: view.columns.keys() for name, view in views.tables.items()}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_reads_columns_of_its_view(name: str) -> None:
    chart = CHARTS[name]
    (dataset,) = [one for one in DATASETS.values() if one["uuid"] == chart["dataset_uuid"]]
    assert columns_of(chart["params"]) <= set(views.tables[dataset["table_name"]].columns.keys())


def test_each_chart_is_on_the_dashboard() -> None:
    dashboard = READER.load(EXPORT / "dashboards" / "Tastemaker.yaml")
    placed = [one["meta"]["uuid"] for name, one in dashboard["position"].items() if name.startswith("CHART")]
    assert sorted(placed) == sorted(chart["uuid"] for chart in CHARTS.values())


def run(*words: str, password: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "bundle.py"), *words]
    environment = os.environ | {"TASTEMAKER_BI_PASSWORD": password}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.processes
def test_a_bundle_has_the_address_and_the_password_on_demand_only(tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"
    for words, expected in (((), "XXXXXXXXXX"), (("--with-password",), "p@ss'w: rd#")):
        done = run("--database", URL, "--output", str(target), *words, password="p@ss'w: rd#")
        assert done.returncode == 0, done.stderr
        with ZipFile(target) as packed:
            assert len(packed.namelist()) == len(list(EXPORT.rglob("*.yaml")))
            written = READER.load(packed.read("tastemaker/databases/Tastemaker.yaml"))["sqlalchemy_uri"]
        assert make_url(written) == make_url(URL).set(password=expected)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.processes
@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgresql://db.example/x", "postgresql://u:p@db/x"])
def test_a_url_that_can_not_be_used_is_refused(url: str, tmp_path: Path) -> None:
    done = run("--database", url, "--output", str(tmp_path / "x.zip"))
    assert done.returncode == 1
    assert "fix: " in done.stderr
    assert not (tmp_path / "x.zip").exists()
