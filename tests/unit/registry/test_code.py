"""Which code made a version: the commit of a checkout, else the release."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tastemaker import __version__
from tastemaker.registry import code


@pytest.fixture(autouse=True)
def nothing_cached() -> Iterator[None]:
    code.code_version.cache_clear()
    yield
    code.code_version.cache_clear()


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_code_version_in_a_checkout_is_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "code.py"
    file.touch()
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(code, "__file__", str(file))
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert code.code_version() == commit
    file.write_text("changed = True")
    code.code_version.cache_clear()
    assert code.code_version() == f"{commit}-dirty"


def test_the_code_version_elsewhere_is_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the package is installed inside a user's repository, which does not track it."""
    _git(tmp_path, "init", "-q")
    (tmp_path / "code.py").touch()
    monkeypatch.setattr(code, "__file__", str(tmp_path / "code.py"))
    assert code.code_version() == f"tastemaker {__version__}"


def test_the_code_version_without_git_is_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert code.code_version() == f"tastemaker {__version__}"
