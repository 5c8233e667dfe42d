"""What `tastemaker models promote` and its kin say of what was recorded, and of the services that follow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from support import registered_versions
from tastemaker.cli.models import models
from tastemaker.errors import RegistryError
from tastemaker.plugins import discovery
from tastemaker.registry import Registry, deployment
from tastemaker.registry.deployment import Followed
from tastemaker.serving.runtime import running_services
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.workflows import workspace
from tastemaker.workflows.promotion_gate import PromotionGate


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """That of a home without a backtest."""
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(open_engine(f"sqlite:///{tmp_path / 'meta.db'}"), tmp_path / "artifacts")
    settings = Settings(home=tmp_path, problem=tmp_path / "problem.yaml", database_url="sqlite://")
    settings.problem.write_text("a file")
    opened = SimpleNamespace(
        registry=registry,
        problem=registered_versions.problem(),
        settings=settings,
        promotion_gate=PromotionGate(registry),
    )
    monkeypatch.setattr(workspace.Workspace, "open", lambda: opened)
    return registry


def run(*words: str) -> Result:
    return CliRunner().invoke(models, words)


def test_promote_and_rollback_report_what_was_recorded(registry: Registry) -> None:
    first, second = registered_versions.add(registry), registered_versions.add(registry, weight=2)
    assert isinstance(run("promote", first.id).exception, RegistryError)
    run("promote", first.id, "--force", "a start")
    shown = run("promote", second.id, "--force", "new items").output
    assert shown.startswith(
        f"champion of 'shop': {second.id} (promote, forced)\nmodel: toy\nreason: new items\n"
    )
    assert "no service of this home folder runs on this machine" in shown
    recorded = json.loads(run("rollback", "--reason", "slow", "--json").output)
    assert (recorded["version_id"], recorded["model"], recorded["reason"]) == (first.id, "toy", "slow")
    assert recorded["services"] == []
    assert run("rollback").exit_code == 2


def test_a_freeze_is_said_until_it_is_ended(registry: Registry) -> None:
    first, second = registered_versions.add(registry), registered_versions.add(registry, weight=2)
    said = "automatic promotion is frozen since the "
    assert said not in run("list").output + run("versions").output
    shown = run("promote", first.id, "--force", "a start").output
    assert f"{said}forced promotion of " in shown
    assert "figures: there is no backtest of version " in shown
    run("promote", second.id, "--force", "new items")
    shown = run("rollback", "--reason", "clicks fell").output
    assert f"{said}rollback of " in shown
    assert "(clicks fell), until a version is promoted without force, or: tastemaker models unfreeze" in shown
    for words in (["list"], ["versions"]):
        assert f"{said}rollback of " in run(*words).stderr, words
    assert run("unfreeze").exit_code == 2
    assert isinstance(run("unfreeze", "--reason", " ").exception, RegistryError)
    ended = run("unfreeze", "--reason", "prices are right").output
    assert ended == (
        f"automatic promotion of 'shop' is no longer frozen: prices are right\nchampion: {first.id}\n"
    )
    for words in (["list"], ["versions"]):
        assert said not in run(*words).stderr, words
    again = run("unfreeze", "--reason", "once more").exception
    assert isinstance(again, RegistryError)
    assert "automatic promotion of the problem 'shop' is not frozen" in str(again)


def test_who_follows_is_said(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registered_versions.add(registry)
    monkeypatch.setattr(running_services, "_held", [])
    for port, model, problem in (
        (3000, None, "shop"),
        (3001, "popularity", "shop"),
        (3002, "toy", None),
        (3003, None, "another"),
        (3004, "toy", "another"),
    ):
        words = ["bentoml", "serve", "a:B", f"--port={port}", "--host", "0.0.0.0"]
        monkeypatch.setattr("sys.argv", words)
        running_services.announce(tmp_path, Followed(tmp_path, model, problem))
    (tmp_path / "services" / "4711-dead.json").write_text("{}")
    shown = run("promote", version.id, "--force", "a test").output.splitlines()
    said = [line for line in shown if line.startswith(("switches", "does not switch"))]
    assert shown[-5:] == said
    at = [f"http://0.0.0.0:{3000 + n} (process {os.getpid()})" for n in range(5)]
    assert said == [
        f"switches: the service that follows the champion on {at[0]}",
        f"does not switch: the service of popularity on {at[1]}, because it serves popularity only; "
        "to follow the champion, start it as tastemaker serve, without a model",
        f"switches: the service of toy on {at[2]}",
        f"does not switch: the service that follows the champion on {at[3]}, because it serves the problem "
        "'another'",
        f"does not switch: the service of toy on {at[4]}, because it serves the problem 'another'",
    ]
    found = json.loads(run("promote", version.id, "--force", "a test", "--json").output)["services"]
    assert [one["follows"] for one in found] == [True, False, True, False, False]
    for handle in running_services._held:
        os.close(handle)
    assert running_services.running(tmp_path) == []
    assert list((tmp_path / "services").iterdir()) == []


def test_the_champion_file_is_rebuilt_from_the_log(registry: Registry) -> None:
    first, second = registered_versions.add(registry), registered_versions.add(registry, weight=2)
    registry.publish("shop")
    path = deployment.champion_path(registry.artifacts, "shop")
    assert deployment.read_champion(path) is None
    PromotionGate(registry).promote(first.id, force_reason="a test")
    PromotionGate(registry).promote(second.id, force_reason="a test")
    written = deployment.read_champion(path)
    assert written is not None
    assert (written.target.version, [one.version for one in written.earlier]) == (second.id, [first.id])
    registry.publish("shop")
    assert deployment.read_champion(path) == written, "up to date: left alone"
    for damaged in (b"", b"{", b"[]", b"\xff\xfe"):
        path.write_bytes(damaged)
        registry.publish("shop")
        again = deployment.read_champion(path)
        assert again is not None
        assert again.target == written.target
    deployment.deploy_champion(registry.artifacts, deployment.Champion("toy", first.id, "shop", 0.0))
    registry.publish("shop")  # a promotion that died before it wrote the file
    again = deployment.read_champion(path)
    assert again is not None
    assert again.target == written.target


def test_problems_with_names_alike_have_files_of_their_own(tmp_path: Path) -> None:
    names = ("a shop", "A shop", "a/shop", "a_shop", "..", "店", "x" * 300)
    paths = {deployment.champion_path(tmp_path, name) for name in names}
    assert len(paths) == len(names)
    assert {path.parent for path in paths} == {tmp_path / "champions"}
