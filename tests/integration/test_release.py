"""`make release` builds what its page says, and refuses what is not ready."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import ROOT
from tastemaker._version import __version__


def _git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=-", "-c", "user.email=-")
    return subprocess.check_output(["git", "-C", str(folder), *identity, *words], text=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    _git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    for name in ("Makefile", "CHANGELOG.md"):
        (folder / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    _git(folder, "config", "user.name", "-")
    _git(folder, "config", "user.email", "-")
    _git(folder, "commit", "--quiet", "--all", "--allow-empty", "--message", "as it stands")
    return folder


def _release(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "release", f"BIN={Path(sys.executable).parent}", "PYTHON=python3"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_version_without_a_section_in_the_changelog_is_refused(clone: Path) -> None:
    ended = _release(clone)
    assert ended.returncode != 0
    assert f"CHANGELOG.md has no section '## {__version__} - DATE'" in ended.stdout
    assert not (clone / "dist").exists()


def test_uncommitted_changes_are_refused(clone: Path) -> None:
    (clone / "README.md").write_text("changed")
    ended = _release(clone)
    assert ended.returncode != 0
    assert "there are uncommitted changes" in ended.stdout


def test_the_wheels_are_built_and_the_commit_is_tagged(clone: Path) -> None:
    changelog = clone / "CHANGELOG.md"
    section = f"## Unreleased\n\n## {__version__} - 2026-12-01"
    changelog.write_text(changelog.read_text("utf-8").replace("## Unreleased", section), "utf-8")
    _git(clone, "commit", "--quiet", "--all", "--message", "release")
    ended = _release(clone)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    models = {path.parent.name for path in ROOT.glob("models/*/pyproject.toml")}
    wheels = {path.name.split("-")[0] for path in (clone / "dist").glob(f"*-{__version__}-*.whl")}
    assert wheels == {"tastemaker", *(f"tastemaker_{name}" for name in models)}
    assert _git(clone, "describe", "--exact-match").strip() == f"v{__version__}"
