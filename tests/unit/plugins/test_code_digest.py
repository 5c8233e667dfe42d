"""A model's code digest changes with what its own modules do, and with nothing else."""

from __future__ import annotations

import ast
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tastemaker.plugins import discovery
from tastemaker.plugins.code_digest import code_digest

MODEL = '''
"""A model."""
import numpy as np
from tastemaker.plugins import Recommender
from .parts import helper
import shelf.deep.inner

class Model(Recommender):
    """Its equation."""
    def fit(self, data):
        return helper(data)
'''
FILES = {
    "__init__.py": "",
    "model.py": MODEL,
    "parts.py": "from shelf import shared\n\ndef helper(data):\n    return shared.one(data)\n",
    "shared.py": "def one(data):\n    return data\n",
    "deep/__init__.py": "LEVEL = 1\n",
    "deep/inner.py": "X = 1\n",
    "other_model.py": "Y = 1\n",
    "service.py": "from shelf.model import Model\n",
}

Digest = Callable[[], str]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution's package of several modules."""
    root = tmp_path / "shelf"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
        del sys.modules[name]


@pytest.fixture
def digest(shelf: Path) -> Digest:
    model = importlib.import_module("shelf.model").Model
    return lambda: code_digest(model)


@pytest.mark.parametrize("name", ["model.py", "parts.py", "shared.py", "deep/__init__.py", "deep/inner.py"])
def test_code_that_the_model_imports_changes_the_digest(shelf: Path, digest: Digest, name: str) -> None:
    before = digest()
    (shelf / name).write_text(FILES[name] + "\nNEW = 1\n")
    assert digest() != before
    (shelf / name).write_text(FILES[name])
    assert digest() == before


@pytest.mark.parametrize("name", ["other_model.py", "service.py"])
def test_other_code_does_not_change_the_digest(shelf: Path, digest: Digest, name: str) -> None:
    before = digest()
    (shelf / name).write_text("Z = 2\n")
    assert digest() == before


def test_comments_layout_and_docstrings_do_not_change_the_digest(shelf: Path, digest: Digest) -> None:
    before = digest()
    text = MODEL.replace("A model.", "Another text.").replace("Its equation.", "s = x")
    (shelf / "model.py").write_text(
        "# a comment\n" + text.replace("return helper(data)", "return helper( data )  # why")
    )
    assert digest() == before


def test_one_thread_parses_at_a_time(digest: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    parsing, most, parse = 0, 0, ast.parse

    def slowly(source: bytes, **given: Any) -> Any:
        nonlocal parsing, most
        parsing += 1
        most = max(most, parsing)
        time.sleep(0.01)
        parsing -= 1
        return parse(source, **given)

    monkeypatch.setattr(ast, "parse", slowly)
    with ThreadPoolExecutor(4) as pool:
        assert len({future.result() for future in [pool.submit(digest) for _ in range(4)]}) == 1
    assert most == 1


@pytest.mark.slow
def test_every_installed_model_has_a_digest_of_its_own() -> None:
    digests = {plugin.name: code_digest(plugin.recommender) for plugin in discovery.find().sound}
    assert len(digests) >= 15
    assert len(set(digests.values())) == len(digests)
    assert digests == {plugin.name: code_digest(plugin.recommender) for plugin in discovery.find().sound}
