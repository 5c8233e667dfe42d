"""`tastemaker keys`, as its user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from support.child_processes import ended
from tastemaker.cli.keys import SCOPES, keys
from tastemaker.errors import TastemakerError
from tastemaker.serving.http.api_keys import Key, KeyScope, add, digest, read_keys, rotate


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Any:
    """The JSON that a command prints."""
    done = CliRunner().invoke(keys, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_new_list_rotate_revoke(home: Path) -> None:
    made = run("new", "web shop", "--scope", "feedback", "--scope", "recommend", "--per-second", "50")
    (kept,) = read_keys(home / "keys.json")
    assert kept.digest == digest(made["key"])
    assert (made["scopes"], made["per_second"], made["state"]) == (["recommend", "feedback"], 50.0, "active")
    turned = run("rotate", "web shop", "--grace-hours", "0")
    assert [one["state"] for one in run("list")] == ["expired", "active"]
    assert "key" not in run("list")[0]
    assert [one["id"] for one in run("revoke", turned["id"])] == [turned["id"]]
    assert [one["state"] for one in run("list")] == ["expired", "revoked"]


def test_the_command_knows_every_scope() -> None:
    assert get_args(KeyScope) == SCOPES


def test_for_people_the_key_alone_goes_to_stdout() -> None:
    done = CliRunner().invoke(keys, ["new", "job", "--scope", "manage", "--days", "90"])
    assert done.stdout.startswith("tm_")
    assert "printed only once" in done.stderr
    listed = CliRunner().invoke(keys, ["list"]).stdout
    assert "job  manage  no rate limit  active until 2" in listed
    assert done.stdout.strip() not in listed


def test_without_keys_the_list_says_who_is_answered() -> None:
    assert "this machine only" in CliRunner().invoke(keys, ["list"]).stdout


@pytest.mark.parametrize(
    "words", [("rotate", "unknown"), ("revoke", "unknown"), ("new", "\n", "--scope", "manage")]
)
def test_what_does_not_exist_is_named(words: tuple[str, ...]) -> None:
    with pytest.raises(TastemakerError, match=r"unknown|printable"):
        CliRunner().invoke(keys, words, catch_exceptions=False)


def test_a_spoilt_file_is_not_overwritten(home: Path) -> None:
    (home / "keys.json").write_text('[{"id": 5}]')
    with pytest.raises(TastemakerError, match=r"keys\.json can't be read"):
        CliRunner().invoke(keys, ["new", "job", "--scope", "manage"], catch_exceptions=False)
    assert (home / "keys.json").read_text() == '[{"id": 5}]'


@pytest.mark.processes
def test_a_full_disk_is_named_and_leaves_the_keys_as_they_were(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(small_disk))
    secret = run("new", "web shop", "--scope", "recommend")["key"]
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4_096)
    with pytest.raises(TastemakerError, match="No space left"):
        CliRunner().invoke(keys, ["new", "job", "--scope", "manage"], catch_exceptions=False)
    assert [key.digest for key in read_keys(small_disk / "keys.json")] == [digest(secret)]


@pytest.mark.processes
@pytest.mark.slow
def test_ten_at_once_make_ten_keys(home: Path) -> None:
    command = [sys.executable, "-m", "tastemaker.cli.main", "keys", "new", "job", "--scope", "manage"]
    running = [subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE) for _ in range(10)]
    with ended(*running):
        made = {one.communicate(timeout=60)[0].decode().strip() for one in running}
    kept = read_keys(home / "keys.json")
    assert len(made) == 10
    assert {digest(secret) for secret in made} == {key.digest for key in kept}
    assert sorted(key.slot for key in kept) == list(range(10))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e300"])
@pytest.mark.parametrize("words", [("new", "job", "--scope", "manage", "--per-second"),
                                   ("new", "job", "--scope", "manage", "--days"),
                                   ("rotate", "old", "--grace-hours")])  # fmt: skip
def test_a_limit_that_is_not_a_number_is_not_a_limit_and_is_refused(
    home: Path, words: tuple[str, ...], number: str
) -> None:
    run("new", "old", "--scope", "feedback")
    before = (home / "keys.json").read_bytes()
    done = CliRunner().invoke(keys, [*words, number])
    assert done.exit_code == 2
    assert number in done.stderr or "finite" in done.stderr or "range" in done.stderr
    assert (home / "keys.json").read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_key_is_made_with_a_limit_that_json_has_no_word_for(value: float) -> None:
    made: list[Key] = []
    for limits in ({"per_second": value}, {"expires_at": value}):
        with pytest.raises(TastemakerError, match="must be a finite number"):
            add(made, "job", ["manage"], **limits)
    add(made, "job", ["manage"])
    with pytest.raises(TastemakerError, match=r"grace_seconds is (nan|inf)"):
        rotate(made, "job", value)
    assert len(made) == 1
