"""The wheels: what each carries and says that it needs; and that a model needs only the light core."""

from __future__ import annotations

import re
import subprocess
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.repository import ROOT
from support.wheels import FAMILIES, build, python
from tastemaker.plugins.discovery import Plugin, find

CORE = {
    "click",
    "markupsafe",
    "msgspec",
    "numpy",
    "pydantic",
    "pydantic-settings",
    "rich",
    "ruamel-yaml",
    "scipy",
    "threadpoolctl",
}
HEAVY = {
    "bentoml",
    "dagster",
    "duckdb",
    "evidently",
    "feast",
    "great_expectations",
    "ibis",
    "matplotlib",
    "pandas",
    "prefect",
    "pyarrow",
    "sqlalchemy",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution -> its wheel: `tastemaker`, and one per folder of models."""
    return build(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def site(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels unpacked as an installer does, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    for wheel in wheels.values():
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def _metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def _needs(wheel: Path, extra: str | None = None) -> set[str]:
    """The distributions that it requires: always, or for an extra."""
    found = set()
    for line in _metadata(wheel).get_all("Requires-Dist") or ():
        requirement, _, marker = line.partition(";")
        wanted = re.search(r"extra == '([\w-]+)'", marker)
        if (wanted and wanted[1]) == extra:
            found.add(re.split(r"[\s\[<>=!~]", requirement.strip())[0])
    return found


def test_each_folder_of_models_is_a_distribution(wheels: dict[str, Path]) -> None:
    assert wheels.keys() == {"tastemaker", *(f"tastemaker-{family}" for family in FAMILIES)}


def test_the_core_is_light_and_the_extras_bring_the_rest(wheels: dict[str, Path]) -> None:
    wheel = wheels["tastemaker"]
    assert _needs(wheel) == CORE
    assert {"bentoml", "sqlalchemy"} <= _needs(wheel, "serving")
    assert {"dagster", "duckdb", "feast", "great-expectations", "prefect"} <= _needs(wheel, "pipelines")
    assert {"evidently", "matplotlib"} <= _needs(wheel, "monitoring")
    assert _metadata(wheel)["Requires-Python"] == "<3.13,>=3.11"


def test_the_platform_carries_every_file_that_it_reads(wheels: dict[str, Path]) -> None:
    """Whatever lies in the source folders is in the wheel, be it Python or not."""
    with ZipFile(wheels["tastemaker"]) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = ("platform/tastemaker", "pipelines/tastemaker_pipelines",
               "feature_repo/tastemaker_features", "expectations/tastemaker_expectations")  # fmt: skip
    tracked = subprocess.run(
        ["git", "ls-files", *sources], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert {name.partition("/")[2] for name in tracked if (ROOT / name).exists()} <= packed
    assert {name.partition("/")[0] for name in packed} == {name.partition("/")[2] for name in sources}
    assert {
        "tastemaker/html/style.css",
        "tastemaker/plugins/templates/pyproject.toml.template",
        "tastemaker/simulator/problem.yaml",
        "tastemaker/storage/migrations/env.py",
        "tastemaker/storage/migrations/versions/0001_first_tables.py",
        "tastemaker_pipelines/project/templates/tastemaker.toml.template",
    } <= packed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_needs_the_core_and_libraries_of_mathematics(family: str, wheels: dict[str, Path]) -> None:
    wheel = wheels[f"tastemaker-{family}"]
    needed = _needs(wheel)
    assert "tastemaker" in needed
    others = {name for name in needed if not name.startswith("tastemaker")}
    assert others <= {
        "numpy",
        "scipy",
        "scikit-learn",
        "implicit",
        "lightgbm",
        "onnx",
        "onnxruntime",
        "threadpoolctl",
    }
    assert "tastemaker" in _needs(wheel, "serving")
    with ZipFile(wheel) as archive:
        assert {name.split("/")[0].split(".")[0] for name in archive.namelist()} == {
            f"tastemaker_{family}",
            f"tastemaker_{family}-0",
        }


@pytest.mark.parametrize("plugin", find().sound, ids=lambda plugin: plugin.name)
def test_a_model_is_imported_from_its_wheel_without_the_platform_s_heavy_libraries(
    plugin: Plugin, site: Path
) -> None:
    module, _, name = plugin.entry_point.partition(":")
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
import {module} as module
assert module.__file__.startswith({str(site)!r}), module.__file__
module.{name}()
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    loaded = set(python(["-c", code], site).split())
    assert not loaded & HEAVY
    assert "tastemaker" in loaded


def test_the_command_line_starts_from_the_wheel(site: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
import tastemaker
from tastemaker.cli.main import main
assert tastemaker.__file__.startswith({str(site)!r})
sys.argv = ["tastemaker", "models", "list", "--json"]
main()
"""
    assert '"name": "popularity"' in python(["-c", code], site)
