"""`tastemaker users`, as its user types it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.dashboard_users import PASSWORD
from support.dashboard_users import quick_hashes as quick_hashes
from tastemaker.cli.users import PASSWORD_VARIABLE, ROLES, users
from tastemaker.dashboard.access.audit import record_search
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.errors import TastemakerError
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(users, list(words), input=stdin, catch_exceptions=False)


def added(name: str, role: str = "viewer", *more: str) -> Any:
    """The JSON about a new user, whose password comes from stdin."""
    done = typed("add", name, "--role", role, "--password-stdin", "--json", *more, stdin=PASSWORD + "\n")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_command_knows_every_role() -> None:
    assert tuple(role.word for role in Role) == ROLES


def test_users_are_added_changed_listed_and_removed() -> None:
    made = added("Ada Løve", "admin")
    assert (made["name"], made["role"], made["may_see_users"]) == ("Ada Løve", "admin", False)
    assert "password" not in made
    added("grace", "viewer", "--may-see-users")
    assert "changed grace  editor  sees user ids" in typed("role", "GRACE", "editor").stdout
    assert "sees no user ids" in typed("role", "grace", "editor", "--may-not-see-users").stdout
    assert typed("password", "grace", "--password-stdin", stdin="another long password").exit_code == 0
    listed = json.loads(typed("list", "--json").stdout)
    assert [(one["name"], one["role"]) for one in listed] == [("Ada Løve", "admin"), ("grace", "editor")]
    assert "removed grace" in typed("remove", "grace").stdout
    assert typed("list").stdout == "Ada Løve  admin  sees no user ids  password\n"


def test_the_password_comes_from_stdin_the_environment_or_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TastemakerError, match="no terminal") as caught:
        typed("add", "ada", "--role", "viewer")
    assert "--password-stdin" in str(caught.value)
    monkeypatch.setenv(PASSWORD_VARIABLE, "short")
    with pytest.raises(TastemakerError, match="has 5 characters"):
        typed("add", "ada", "--role", "viewer")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    assert typed("add", "ada", "--role", "viewer").exit_code == 0
    assert "proxy only" in typed("add", "alan", "--role", "viewer", "--by-proxy").stdout
    for words in (("add", "x", "--role", "viewer", "--password", PASSWORD), ("password", "ada", PASSWORD)):
        assert typed(*words).exit_code == 2, "arguments are seen by other users of the machine"


@pytest.mark.processes
def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(home: Path) -> None:
    terminal, other_end = pty.openpty()
    words = [sys.executable, "-m", "tastemaker.cli.main", "users", "add", "ada", "--role", "admin"]
    process = subprocess.Popen(words, cwd=home, stdin=other_end, stdout=other_end, stderr=other_end,
                               start_new_session=True)  # fmt: skip
    os.close(other_end)
    shown = b""
    for prompt in (b"Password: ", b"confirmation: "):
        while prompt not in shown:
            shown += os.read(terminal, 1_000)
        os.write(terminal, PASSWORD.encode() + b"\n")
    assert process.wait(60) == 0
    shown += os.read(terminal, 1_000)
    os.close(terminal)
    assert PASSWORD.encode() not in shown
    assert b"added ada  admin" in shown


def test_the_last_admin_and_the_last_user_are_not_lost_by_accident() -> None:
    added("ada", "admin")
    added("grace", "viewer")
    for words in (("remove", "ada"), ("role", "ada", "viewer")):
        with pytest.raises(TastemakerError, match="'ada' is the last admin"):
            typed(*words)
    forced = typed("remove", "ada", "--force")
    assert "warning: there is no admin any more" in forced.stderr
    last = typed("remove", "grace", "--json")
    assert "answers this machine only, without a login" in last.stderr
    assert json.loads(last.stdout)["name"] == "grace"
    assert "this machine only" in typed("list").stdout


@pytest.mark.parametrize("words", [("password", "--password-stdin"), ("role",), ("remove",)])
def test_an_unknown_user_is_named(words: tuple[str, ...]) -> None:
    added("grace")
    with pytest.raises(TastemakerError, match="there is no user 'grce'\n  fix: did you mean grace"):
        typed(words[0], "grce", *words[1:], *(["viewer"] if words == ("role",) else []), stdin=PASSWORD)


def test_a_role_that_is_none_is_refused() -> None:
    assert typed("add", "ada", "--role", "root").exit_code == 2


def test_the_audit_lists_the_newest_searches_and_shows_no_control_characters(home: Path) -> None:
    assert typed("audit").stdout == "no searches\n"
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    for query in ("user:17", "\x1b[2Juser:18"):
        record_search(engine, Viewer("ada", Role.VIEWER, True), query, 1_234)
    engine.dispose()
    (line,) = typed("audit", "--limit", "1").stdout.splitlines()
    assert line.endswith("UTC  ada  1,234 found  \ufffd[2Juser:18")
    newest, oldest = json.loads(typed("audit", "--json").stdout)
    assert (oldest["query"], oldest["rows"], newest["user_name"]) == ("user:17", 1_234, "ada")
