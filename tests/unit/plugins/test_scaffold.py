"""A scaffolded model is installed, found, passes the checks, and passes its own tests."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.repository import ROOT
from tastemaker.errors import PluginError
from tastemaker.plugins import checks, scaffold
from tastemaker.plugins.discovery import find, get


def install(folder: Path, site: Path) -> None:
    """What `pip install -e` leaves behind: metadata in `site`, and the folder on the path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    entries = project["entry-points"]["tastemaker.models"]
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[tastemaker.models]", *lines]))


def test_a_new_model_passes_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scaffold.create_plugin("brand_new", tmp_path / "models")
    install(folder, tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(folder))
    plugin = get("brand_new")
    assert plugin.distribution == "tastemaker-brand-new"
    assert plugin.entry_point == "tastemaker_brand_new.brand_new:BrandNew"
    assert "brand_new" in find().names
    failed = [result for result in checks.run_checks(plugin.recommender) if result.verdict == "failed"]
    assert failed == []
    with pytest.raises(PluginError, match="tastemaker-brand-new has a model named brand_new already"):
        scaffold.create_plugin("brand_new", tmp_path / "elsewhere")


@pytest.mark.processes
@pytest.mark.slow
def test_the_tests_of_a_new_model_pass(tmp_path: Path) -> None:
    folder = scaffold.create_plugin("fresh", tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            str(folder / "tests"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_service_of_a_new_model_has_the_form_of_the_others(tmp_path: Path) -> None:
    folder = scaffold.create_plugin("third_one", tmp_path)
    lines = (folder / "tastemaker_third_one" / "service.py").read_text("utf-8").splitlines()
    assert lines[0] == '"""`bentoml serve tastemaker_third_one.service:ThirdOne`."""'
    assert lines[-1] == 'ThirdOne = service("third_one")'
    bentofile = (folder / "bentofile.yaml").read_text("utf-8").splitlines()
    assert bentofile[1] == "service: tastemaker_third_one.service:ThirdOne"
    ours = ROOT / "models" / "ranker" / "bentofile.yaml"
    assert [line for line in ours.read_text("utf-8").splitlines() if line not in bentofile] == [
        "service: tastemaker_ranker.service:Ranker"
    ]


@pytest.mark.parametrize("name", ["", "Upper", "with-dash", "1st", "a__b", "_a", "ü", "../up", "x" * 61])
def test_invalid_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginError, match="can't be a model's name"):
        scaffold.create_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(PluginError, match="exists already"):
        scaffold.create_plugin("mine", tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_a_failure_to_write_leaves_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="can't be written"):
        scaffold.create_plugin("mine", tmp_path / "file")
