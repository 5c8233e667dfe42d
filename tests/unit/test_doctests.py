"""The examples in docstrings are executed."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import tastemaker.errors

ROOT = Path(tastemaker.errors.__file__).parent


def module_name(path: Path) -> str:
    return ".".join(("tastemaker", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES = [
    module_name(path) for path in sorted(ROOT.rglob("*.py")) if "\n    >>> " in path.read_text("utf-8")
]


def test_examples_are_found() -> None:
    expected = {"stats.bootstrap", "stats.significance", "evaluation.metrics", "errors"}
    assert {f"tastemaker.{name}" for name in expected} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
