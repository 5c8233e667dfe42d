"""`tastemaker experiment replay`: the log against the plans that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.experiment_plans import ROUTED, SERVICES, experiment, plan_of, users
from support.request_logs import NOON, exposure, fill, request
from tastemaker.cli.experiment_replay import replay
from tastemaker.event_log.records import Assignment, Entry
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.plan_file import write_plan
from tastemaker.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    return tmp_path


def logged(home: Path, *more: Entry) -> int:
    """Log the requests and flags of 200 users as the plan in force assigns them; return how many."""
    plan = plan_of(
        experiment("ranker", enrolment=600_000, variants=ROUTED),
        experiment("checkout", "cart"),
        services=SERVICES,
        default="champion",
    )
    digest = write_plan(home / "experiments" / "plan.json", plan)
    assigner, records = Assigner(plan, home), list[Entry]()
    for number, user in enumerate(users(200)):
        for one in assigner.assign(Units(user), {}):
            if one.service is None:
                records.append(
                    exposure(
                        number,
                        experiment=one.experiment,
                        variant=one.variant,
                        plan=digest[:16],
                        unit=user,
                        user_id=user,
                    )
                )
            else:
                drawn = (one.experiment, one.epoch, one.variant, one.probability)
                assignment = Assignment(*drawn, one.variant, digest[:16], one.unit)
                records.append(request(number, user_id=user, assignment=assignment))
    settings = load_settings()
    fill(settings.spool, [*records, *more])
    return len(records)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(replay, arguments)


def test_a_home_without_a_log_has_nothing_to_explain() -> None:
    found = run()
    assert (found.exit_code, found.output) == (
        0,
        "0 exposures, of which 0 are not as their plan says\n",
    )


def test_requests_and_flags_are_explained_by_their_plan(home: Path) -> None:
    count = logged(home)
    found = run()
    assert found.exit_code == 0, found.output
    assert found.output == f"{count} exposures, of which 0 are not as their plan says\n"
    assert count > 280


def test_what_no_plan_explains_is_shown(home: Path) -> None:
    forced = exposure("forced", probability=None, unit="someone")
    count = logged(home, exposure("wrong", plan="f" * 16, unit="bob", occurred_at=NOON), forced)
    found = run()
    assert found.exit_code == 1
    assert found.output.splitlines() == [
        f"{count + 1} exposures, of which 1 are not as their plan says",
        "1 of new-basket: unknown_plan",
        "  new-basket epoch 0  bob  wide  plan ffffffffffffffff  unknown_plan",
    ]
    as_json = json.loads(run("--json").output)
    assert (as_json["exposures"], as_json["disagreements"][0]["unit"]) == (count + 1, "bob")
