"""A terminal that lacks signs, a home that is read-only or full, a database that is gone: no traces."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa

from support import commands, small_shop
from support.child_processes import ended
from support.home_copies import copy_home
from support.small_disks import mounted
from tastemaker.cli.output import replace
from tastemaker.errors import RegistryError
from tastemaker.registry import champion, deployment
from tastemaker.registry.rebuild import rebuild, unregistered
from tastemaker.settings import Settings
from tastemaker.util.os_errors import in_words
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

ONE_MODEL = {"TASTEMAKER_MODELS__ENABLED": "bought_again"}
SELECT = "+key:leaderboard or +key:models/bought_again or +key:champion"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a champion."""
    home = tmp_path_factory.mktemp("trained") / "home"
    settings = small_shop.settings(home, models={"enabled": ["bought_again"]})
    assert run(settings, select=SELECT).success
    return settings


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "koi8-r"])
def test_output_that_is_not_utf8_never_ends_in_a_trace(trained: Settings, encoding: str) -> None:
    more = {**ONE_MODEL, "PYTHONIOENCODING": encoding}
    for words in (["leaderboard"], ["frame", "--show"], ["models", "list"], ["leaderboard", "--json"]):
        process = subprocess.run(
            [commands.BIN / "tastemaker", *words],
            cwd=trained.home,
            env=commands.environment(trained.home, more),
            capture_output=True,
        )
        assert process.returncode == 0, process.stderr
        shown = process.stdout.decode("utf-8" if encoding == "ascii" else encoding)  # as Click has it
        if words[-1] == "--json":
            assert json.loads(shown)["failed"] == []


def test_signs_become_plain_ones_or_escapes() -> None:
    def shown(text: str, encoding: str) -> str:
        return str(replace(UnicodeEncodeError(encoding, text, 0, len(text), "it lacks them"))[0])

    assert shown("✓−–", "ascii") == "+--"
    assert json.loads(f'"{shown("é鍋😀", "ascii")}"') == "é鍋😀"


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def test_a_home_that_is_read_only_or_full_is_one_sentence(trained: Settings, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "80m") as disk:
        home = disk / "home"
        copy_home(trained.home, home)
        small_shop.environment(home)  # its tastemaker.toml
        remount(disk, "ro")
        check_sentences(home, "file system|database file|readonly", ("run --force", "ship", "leaderboard"))
        remount(disk, "rw")
        (disk / "filler").write_bytes(b"\0" * (disk_free(disk) - 4096))
        check_sentences(home, "No space left|disk is full|disk I/O", ("run --force", "models versions"))


def disk_free(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def check_sentences(home: Path, reason: str, lines: tuple[str, ...]) -> None:
    environment = commands.environment_as_it_is(home, ONE_MODEL)
    for line in lines:
        process = subprocess.run(
            [commands.BIN / "tastemaker", *line.split()],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
        )
        said = process.stdout + process.stderr
        assert "Traceback" not in said
        if process.returncode == 0 and line in ("leaderboard", "models versions"):
            continue  # what only reads may work
        assert process.returncode in (1, 2), said
        assert re.search(reason, said), said
        assert len(process.stderr.splitlines()) <= 4, said


@pytest.mark.parametrize("size", ["600k", "2m"])
def test_a_disk_that_fills_up_during_a_run_ends_without_a_trace(tmp_path: Path, size: str) -> None:
    home = tmp_path / "config"
    small_shop.settings(home)
    with mounted(tmp_path / "disk", size) as disk:
        more = {**ONE_MODEL, "TASTEMAKER_HOME": str(disk / "home")}
        process = commands.start(home, "tastemaker", "run", more=more)
        with ended(process):
            out, err = process.communicate(timeout=commands.LIMIT_SECONDS)
        assert "Traceback" not in out + err
        assert process.returncode in (1, 2), out + err
        assert "fix: free some space" in out + err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/home/x"), "/home/x can't be used: Read-only"),
        (PermissionError(errno.EACCES, "Permission denied", b"/y"), "/y can't be used: Permission denied"),
        (
            sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full")),
            "a file can't be used: database or disk is full",
        ),
        (RuntimeError('IO Error: Could not write "/a/b": No space left on device'), "/a/b can't be used: No"),
    ],
)
def test_what_the_system_refuses_is_found_in_the_chain(error: Exception, said: str) -> None:
    try:
        try:
            raise error
        except Exception as cause:
            raise ValueError("a library's own words") from cause
    except ValueError as wrapped:
        found = in_words(wrapped)
    assert found is not None
    assert found.problem.startswith(said)
    assert in_words(ValueError("a bug")) is None


def test_a_lost_database_is_named_and_rebuilt_from_the_manifests(trained: Settings) -> None:
    before = Workspace(trained)
    promoted = before.registry.champion(before.problem.name)
    assert promoted is not None
    rows = {one.id: (one.manifest, one.created_at) for one in before.registry.list()}
    deployed = deployment.read(deployment.path_of(trained.artifacts, promoted.model))
    before.engine.dispose()
    for path in trained.home.glob("tastemaker.db*"):
        path.unlink()
    shown = commands.done(trained.home, "tastemaker", "models", "versions", more=ONE_MODEL)
    assert f"holds {len(rows)} version" in shown.stderr
    with pytest.raises(RegistryError, match="tastemaker models rebuild"):
        Workspace(trained).registry.newest("bought_again")
    damaged = next(one for one in before.registry.artifacts.glob("popularity/*/model/*"))
    kept = damaged.read_bytes()
    damaged.write_bytes(kept[:-1])
    lost = Workspace(trained)
    first = rebuild(lost.engine, trained.artifacts)
    assert len(first.added) == len(rows) - 1
    assert "cut short or altered" in first.damaged[0]
    damaged.write_bytes(kept)
    commands.done(trained.home, "tastemaker", "models", "rebuild", more=ONE_MODEL)
    assert rebuild(lost.engine, trained.artifacts) == ((), len(rows), ())
    assert unregistered(lost.engine, trained.artifacts) == []
    assert {one.id: (one.manifest, one.created_at) for one in lost.registry.list()} == rows
    assert champion.log(lost.engine, lost.problem.name) == []
    assert deployment.read(deployment.path_of(trained.artifacts, promoted.model)) == deployed
    assert run(trained, select=SELECT).success
    again = lost.registry.champion(lost.problem.name)
    assert again is not None
    assert again.model == promoted.model
