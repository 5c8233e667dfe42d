"""One meaning per name: no two public classes of the product have the same name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.repository import ROOT

FOLDERS = ("platform", "pipelines", "models", "feature_repo", "expectations")
NESTED = {"Config", "Meta"}
"""Names that libraries give to nested classes."""


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not {"tests", ".venv", "build"} & set(path.relative_to(ROOT).parts):
                yield path


def classes(path: Path) -> Iterator[ast.ClassDef]:
    """Yield the public classes of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in NESTED:
            yield node


@pytest.mark.slow
def test_no_class_name_has_two_meanings() -> None:
    found = defaultdict(list)
    for path in sources():
        for node in classes(path):
            found[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert len(found) > 400, "the product's classes are found"
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert twice == {}
