"""Unit tests are in the folders of the packages that they name, and helpers of tests are in support."""

from __future__ import annotations

import re
from pathlib import Path

from support.repository import ROOT

TESTS = ROOT / "tests"
UNIT = TESTS / "unit"
OTHERS = {"pipelines": ROOT / "pipelines" / "tastemaker_pipelines", "support": TESTS / "support"}
"""Folder of unit tests -> the package that it mirrors, where that is not of the platform."""


def _names(path: Path, package: str) -> bool:
    """Return whether a test names a package, or has a helper that does."""
    text = path.read_text("utf-8")
    helpers = re.findall(r"^from support\.(\w+) import|^from support import (\w+)", text, re.MULTILINE)
    texts = [text, *((TESTS / "support" / f"{''.join(one)}.py").read_text("utf-8") for one in helpers)]
    return any(re.search(rf"\b{re.escape(package)}\b", one) for one in texts)


def test_each_folder_of_unit_tests_is_a_package() -> None:
    folders = {path.parent.relative_to(UNIT) for path in UNIT.rglob("test_*.py")} - {Path()}
    assert folders
    for folder in folders:
        first, *rest = folder.parts
        package = OTHERS.get(first, ROOT / "platform" / "tastemaker" / first).joinpath(*rest)
        assert (package / "__init__.py").is_file(), f"tests/unit/{folder} mirrors no package"


def test_each_unit_test_names_its_package() -> None:
    files = {path: path.relative_to(UNIT).parts[0] for path in UNIT.rglob("test_*.py") if path.parent != UNIT}
    lost = [
        str(path.relative_to(UNIT))
        for path, folder in files.items()
        if not _names(path, OTHERS[folder].name if folder in OTHERS else f"tastemaker.{folder}")
    ]
    assert lost == []


def test_helpers_of_tests_are_in_support() -> None:
    files = [path for path in TESTS.rglob("*.py") if (TESTS / "support") not in path.parents]
    assert files
    assert [str(path.relative_to(TESTS)) for path in files if not path.name.startswith("test_")] == []
