"""The page that turns a cell into a plugin: executed, and both are the same model."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path

import pytest

from support import commands
from support.repository import ROOT

PAGE = ROOT / "docs" / "how-to" / "notebook-to-plugin.md"


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_cell_becomes_a_plugin_that_answers_the_same(blocks: list[str], tmp_path: Path) -> None:
    loading, cell, evaluating, module, checks, same = blocks
    home, site, folder = tmp_path / "home", tmp_path / "site", tmp_path / "companions"
    home.mkdir()
    commands.done(home, "tastemaker", "models", "new", "companions", "--folder", str(tmp_path))
    (folder / "tastemaker_companions" / "companions.py").write_text(module, "utf-8")
    (folder / "tests" / "test_companions.py").write_text(checks, "utf-8")
    install = ["uv", "pip", "install", "--offline", "--no-deps", "--no-build-isolation"]
    commands.done(home, *install, "--python", sys.executable, "--target", str(site), str(folder))
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    installed = {"PYTHONPATH": os.pathsep.join(paths)}
    checked = commands.done(home, "tastemaker", "models", "check", "companions", more=installed).stdout
    assert checked.endswith("companions passes the checks\n")
    assert "checkerboard" in checked
    printed = commands.done(
        home, "pytest", "-q", "-p", "no:cacheprovider", str(folder), more=installed
    ).stdout
    assert " passed" in printed
    script = home / "page.py"
    script.write_text("\n".join([loading, cell, evaluating, same, "print(compare(cell))"]), "utf-8")
    shown = commands.done(home, "python", str(script), more=installed).stdout
    assert "companions" in shown


def test_fit_and_recommend_do_not_change(blocks: list[str]) -> None:
    _loading, cell, _evaluating, module, *_rest = blocks
    assert methods(cell) == methods(module)
    assert methods(cell).keys() == {"fit", "recommend"}


def methods(source: str) -> dict[str, str]:
    """The methods of the model's class, as they are written."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(source, node) or "" for node in found}
