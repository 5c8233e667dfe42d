"""The lineage of a version: why it was trained, what differs from the champion before, and each change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from support import rollout_homes
from support.operated_homes import put
from support.request_logs import fill, request
from support.rollout_homes import BEST, PERSON, RolloutHome
from tastemaker.cli.why_version import why
from tastemaker.errors import RegistryError, TastemakerError
from tastemaker.registry.lineage import read_lineage
from tastemaker.storage.tables import trainings
from tastemaker.workflows.rollouts import actions, steps
from tastemaker.workflows.workspace import Workspace


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    """A home whose second version was trained for a reason, approved, promoted and replaced by force."""
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline", approval=True)
    now = datetime.now(UTC)
    put(home.workspace.engine, trainings, {
        "run_id": "run-7", "model": "toy", "problem": "shop", "outcome": "registered",
        "reasons": [{"reason": "drift", "detail": "drift of price"}], "version_id": home.second.id,
        "started_at": now - timedelta(minutes=2), "ended_at": now, "seconds": 12.5, "peak_bytes": 3 << 20,
    })  # fmt: skip
    put(home.workspace.engine, trainings, {
        "run_id": "run-8", "model": "toy", "problem": "shop", "outcome": "unchanged",
        "reasons": [{"reason": "requested", "detail": "tastemaker run"}], "version_id": home.second.id,
        "started_at": now - timedelta(minutes=1), "ended_at": now,
    })  # fmt: skip
    rollout_id = steps.begin(home.workspace, home.second.id, "schedule", "the newest").id
    actions.approve(home.workspace, rollout_id, PERSON, "figures read")
    third = rollout_homes.add(home.workspace, 3.0, BEST)
    home.workspace.promotion_gate.promote(third.id, force_reason="the sale needs it", actor="bob")
    home.workspace.registry.rollback("shop", "too bold", "eve")
    monkeypatch.setattr(Workspace, "open", lambda: home.workspace)
    return home


@pytest.mark.slow
def test_a_version_says_why_it_was_trained_and_what_became_of_it(home: RolloutHome) -> None:
    found = read_lineage(home.workspace.engine, home.second.id)
    assert (
        found.sentence == f"toy {home.second.id} was trained because of drift of price; it is the champion."
    )
    assert found.champion_before == home.first.id
    assert found.changed == {"config.weight": [1.0, 2.0]}
    assert (found.path, found.path_reason) == ("offline", "the setting promotion.path is offline")
    assert found.metrics["ndcg"]["value"] == pytest.approx(BEST.mean())
    newest = home.workspace.registry.newest("toy").id
    assert [(one.what, one.actor) for one in found.events if one.actor != "schedule"] == [
        ("trained", ""),
        ("rollout 1: approval", PERSON),
        ("promoted", "rollout:1"),
        (f"replaced by {newest}", "bob"),
        ("champion again", "eve"),
    ]


def test_the_first_version_has_no_champion_before(home: RolloutHome) -> None:
    found = read_lineage(home.workspace.engine, home.first.id)
    assert (found.champion_before, found.changed, found.path) == (None, {}, "")
    assert "why is not recorded" in found.sentence
    with pytest.raises(RegistryError, match="no version 'nope'"):
        read_lineage(home.workspace.engine, "nope")


def test_days_and_figures_are_as_a_person_reads_them(home: RolloutHome) -> None:
    """A window ends before its end, and a figure that is rounded to zero has no sign."""
    figure = {"value": -0.00001, "low": -0.2, "high": 0.0}
    found = read_lineage(home.workspace.engine, home.second.id)._replace(
        manifest={"window": {"start": 0, "end": 2 * 86_400}}, metrics={"diversity": figure}
    )
    parts = dict(found.parts())
    assert parts["data"].startswith("1970-01-01 to 1970-01-02, ")
    assert parts["  diversity"] == "0.0000 (95 % interval -0.2000 to 0.0000)"


@pytest.mark.slow
def test_the_command_shows_it_by_version_and_by_answer(home: RolloutHome) -> None:
    by_version = CliRunner().invoke(why, [home.second.id])
    assert by_version.exit_code == 0
    assert "  training          run run-7, 12.5 s, 3 MiB at most\n" in by_version.output
    assert "    config.weight   1 -> 2\n" in by_version.output
    assert "champion again, by eve: too bold\n" in by_version.output
    fill(home.workspace.settings.spool, [request(1, model="toy", version=home.second.id)])
    by_answer = CliRunner().invoke(why, ["--request", f"{1:032x}", "--json"])
    assert json.loads(by_answer.output)["version"] == home.second.id
    assert isinstance(CliRunner().invoke(why, []).exception, TastemakerError)


@pytest.mark.slow
def test_a_forced_promotion_names_its_person(home: RolloutHome) -> None:
    third = home.workspace.registry.newest("toy")
    found = read_lineage(home.workspace.engine, third.id)
    assert found.champion_before == home.second.id
    (promoted,) = [one for one in found.events if one.what == "promoted, by force"]
    assert (promoted.actor, promoted.reason) == ("bob", "the sale needs it")
