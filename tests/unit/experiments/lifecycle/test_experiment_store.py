"""Changes of experiments: states, guards, claims, the audit trail and the plan file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from support import experiment_homes, registered_versions
from support.experiment_homes import ExperimentHome
from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import VariantDesign
from tastemaker.experiments.lifecycle.states import ActionRefused, fold
from tastemaker.experiments.lifecycle.store import Experiments
from tastemaker.experiments.plan import ControlPlan
from tastemaker.experiments.plan_file import decode_plan
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import experiment_changes, experiment_plans, experiments, versions


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(open_engine(f"sqlite:///{tmp_path}/meta.db"), tmp_path, monkeypatch)


def plan_of(shop: ExperimentHome) -> ControlPlan:
    return decode_plan((shop.experiments.folder / "plan.json").read_bytes())


def test_from_a_draft_to_a_decision(shop: ExperimentHome) -> None:
    name = shop.running()
    (planned,) = plan_of(shop).experiments
    assert (planned.name, planned.enrolment, planned.epoch) == (name, 10_000, 0)
    assert planned.claim == ((0, 1_000_000),)
    assert [(one.name, one.start, one.end) for one in planned.variants] == [
        ("a", 0, 500_000),
        ("b", 500_000, 1_000_000),
    ]
    services = {one.name: one.version for one in plan_of(shop).services}
    assert [services[one.service] for one in planned.variants if one.service] == [
        shop.champion.id,
        shop.challenger.id,
    ]
    assert plan_of(shop).default == planned.variants[0].service
    shop.do(name, "step", confirmed=("duration", "guardrails"))
    assert plan_of(shop).experiments[0].enrolment == 50_000
    shop.do(name, "stop")
    assert plan_of(shop).experiments == ()
    shop.do(name, "drop")
    shop.do(name, "archive")
    found = shop.experiments.get(name)
    assert found.state == "archived"
    history = shop.experiments.history(name)
    assert [one.action for one in history] == ["create", "ready", "start", "step", "stop", "drop", "archive"]
    assert fold(history) == found.standing
    assert shop.experiments.verify(name) == []


def test_the_plan_rises_with_every_change_and_stays_without_one(shop: ExperimentHome) -> None:
    name = shop.running()
    first = plan_of(shop)
    assert shop.experiments.publish() == first
    shop.do(name, "step", confirmed=("duration", "guardrails"))
    assert plan_of(shop).revision == first.revision + 1


def test_what_is_refused_changes_nothing(shop: ExperimentHome) -> None:
    name = shop.draft()
    plan = (shop.experiments.folder / "plan.json").read_bytes()
    for action, more, message in (
        ("start", {}, "is draft"),
        ("ready", {"reason": " "}, "needs a reason"),
        ("ready", {"actor": ""}, "not known who"),
        ("revise", {}, "needs a new design"),
        ("ready", {"design": shop.design()}, "takes no design"),
        ("revise", {"design": shop.design("other")}, "can't become 'other'"),
    ):
        with pytest.raises(ActionRefused, match=message):
            shop.do(name, action, **more)
    assert [one.action for one in shop.experiments.history(name)] == ["create"]
    assert (shop.experiments.folder / "plan.json").read_bytes() == plan


def test_a_start_needs_an_aa_experiment_or_a_confirmation(shop: ExperimentHome) -> None:
    name = shop.draft()
    shop.do(name, "ready")
    with pytest.raises(ActionRefused, match="no A/A experiment has passed in the namespace home"):
        shop.do(name, "start")
    shop.do(name, "start", confirmed=("aa",))
    assert shop.experiments.history(name)[-1].evidence == {"confirmed": ["aa"]}


def test_an_aa_experiment_starts_without_one(shop: ExperimentHome) -> None:
    alike = VariantDesign(share=500_000, model="toy", version=shop.champion.id)
    name = shop.draft("aa-home", kind="aa", variants={"a": alike, "b": alike})
    shop.do(name, "ready")
    shop.do(name, "start")
    planned = plan_of(shop).experiments[0]
    assert planned.variants[0].service == planned.variants[1].service


def test_an_automatic_actor_says_what_it_saw_and_confirms_nothing(shop: ExperimentHome) -> None:
    name = shop.running()
    seen = shop.experiments.get(name).changes
    with pytest.raises(ActionRefused, match="has to say which changes"):
        shop.do(name, "roll_back", actor="guardrail:reward")
    with pytest.raises(ActionRefused, match="may confirm no guard"):
        shop.do(name, "step", actor="schedule", expected_changes=seen, confirmed=("duration",))
    shop.do(name, "roll_back", actor="guardrail:reward", expected_changes=seen, evidence={"low": -0.3})
    assert plan_of(shop).experiments == ()
    assert shop.experiments.history(name)[-1].evidence == {"low": -0.3}


def test_a_guardrail_does_not_roll_back_what_a_person_began_again(shop: ExperimentHome) -> None:
    name = shop.running()
    seen = shop.experiments.get(name).changes
    shop.do(name, "roll_back")
    shop.do(name, "new_epoch")
    with pytest.raises(ActionRefused, match="changed in the meantime: new_epoch by ada"):
        shop.do(name, "roll_back", actor="guardrail:reward", expected_changes=seen)


def test_a_changed_ratio_is_a_new_epoch(shop: ExperimentHome) -> None:
    name = shop.running()
    shop.do(name, "step", confirmed=("duration", "guardrails"))
    variants = shop.design().variants
    shares = {"a": 750_000, "b": 250_000}
    changed = shop.design(
        variants={key: VariantDesign(**_fields(variants[key], share)) for key, share in shares.items()}
    )
    with pytest.raises(ActionRefused, match="is running, so revise is not possible"):
        shop.do(name, "revise", design=changed)
    shop.do(name, "new_epoch", design=changed)
    found = shop.experiments.get(name)
    assert (found.epoch, found.revision, found.enrolment) == (1, 2, 10_000)
    assert plan_of(shop).experiments[0].epoch == 1
    assert [one.end for one in plan_of(shop).experiments[0].variants] == [750_000, 1_000_000]
    assert shop.experiments.verify(name) == []
    with pytest.raises(ActionRefused, match="the control of ranker-2 is 'a' and can't become 'b'"):
        shop.do(name, "new_epoch", design=shop.design(control="b"))


def _fields(variant: VariantDesign, share: int) -> dict[str, Any]:
    return {"share": share, "model": variant.model, "version": variant.version}


def test_two_experiments_of_a_namespace_share_no_bucket(shop: ExperimentHome) -> None:
    shop.running("first", claim=600_000)
    shop.draft("second", claim=500_000)
    with pytest.raises(
        TastemakerError, match=r"second needs 500,000 buckets .* but 400,000 are free: first"
    ) as caught:
        shop.do("second", "ready")
    assert str(caught.value.fix).startswith("end an experiment that holds buckets")
    assert "a claim of at most 400,000" in str(caught.value.fix)
    shop.do("second", "revise", design=shop.design("second", claim=400_000))
    shop.do("second", "ready")
    shop.do("second", "start", confirmed=("aa",))
    assert [one.claim for one in plan_of(shop).experiments] == [((0, 600_000),), ((600_000, 1_000_000),)]


def test_released_buckets_cool_down_unless_no_unit_was_assigned(shop: ExperimentHome) -> None:
    shop.draft("never")
    shop.do("never", "ready")
    shop.do("never", "archive")
    shop.running("first")
    shop.do("first", "stop")
    shop.draft("second")
    with pytest.raises(TastemakerError, match=r"0 are free: first \(free from .* UTC\)") as caught:
        shop.do("second", "ready")
    (free_at,) = re.findall(r"free from (.*?) UTC", str(caught.value))
    wait = f"wait until {free_at} UTC, when 1,000,000 buckets are free; or give its design another namespace"
    assert caught.value.fix == wait


def test_a_promotion_changes_the_default_of_the_plan(shop: ExperimentHome) -> None:
    shop.running()
    shop.registry.make_champion(shop.challenger, "it is better", forced=True)
    assert plan_of(shop).default == f"toy@{shop.champion.id}"
    shop.experiments.publish()
    assert plan_of(shop).default == f"toy@{shop.challenger.id}"


def test_experiments_over_models_stand_in_one_namespace(shop: ExperimentHome) -> None:
    shop.experiments.add_namespace("basket", cool_down_seconds=0)
    shop.running("first")
    shop.draft("second", namespace="basket")
    with pytest.raises(TastemakerError, match="in 2 namespaces"):
        shop.do("second", "ready")


@pytest.mark.parametrize("action", ["roll_back", "stop", "drop"])
def test_what_is_wrong_with_another_experiment_does_not_prevent_a_rollback(
    shop: ExperimentHome, action: str
) -> None:
    """The version of `broken` leaves the database, so that no plan with it can be compiled."""
    lost = registered_versions.add(shop.registry, weight=3.0)
    alike = {"a": served(shop.champion.id), "b": served(lost.id)}
    shop.running("broken", claim=500_000, variants=alike)
    shop.running("sound", claim=500_000)
    with shop.experiments.engine.begin() as connection:
        connection.execute(delete(versions).where(versions.c.id == lost.id))
    with pytest.raises(TastemakerError, match="no version"):
        shop.do("sound", action)
    killed = {one.name: one.killed for one in plan_of(shop).experiments}
    assert killed == {"broken": False, "sound": True}
    assert shop.experiments.get("sound").state != "running"
    shop.do("broken", "stop")
    assert plan_of(shop).experiments == ()
    assert shop.experiments.verify("sound") == []


def served(version: str) -> VariantDesign:
    return VariantDesign(share=500_000, model="toy", version=version)


@pytest.mark.parametrize("name", ["../x", "a/b", "", " x", "x" * 101, ".x"])
def test_names_are_those_of_files(shop: ExperimentHome, name: str) -> None:
    with pytest.raises(TastemakerError, match="the experiment has the name"):
        shop.draft(name)
    with pytest.raises(TastemakerError, match="the namespace has the name"):
        shop.experiments.add_namespace(name, cool_down_seconds=0)


def test_a_version_that_is_gone_is_found_before_the_start(shop: ExperimentHome) -> None:
    name = shop.draft()
    (shop.challenger.folder / "manifest.json").unlink()
    with pytest.raises(TastemakerError, match=r"variant b: .*manifest.json"):
        shop.do(name, "ready")
    assert shop.experiments.get(name).state == "draft"


def test_more_units_are_not_enrolled_for_a_version_that_is_gone(shop: ExperimentHome) -> None:
    name = shop.running()
    (shop.challenger.folder / "manifest.json").unlink()
    with pytest.raises(TastemakerError, match=r"can't enrol more units: variant b: .*manifest.json"):
        shop.do(name, "step", confirmed=("duration", "guardrails"))
    assert shop.experiments.get(name).enrolment == 10_000


@pytest.mark.parametrize(
    ("action", "confirmed", "message"),
    [
        ("step", ("nonsense",), "step of ranker-2 has no guard 'nonsense' to be confirmed"),
        ("step", ("duration", "aa"), "no guard 'aa'"),
        ("step", ("guardrails", "harm"), "no guard 'harm'"),
        ("hold", ("duration",), "leave --confirm out"),
    ],
)
def test_a_guard_that_there_is_not_is_not_confirmed(
    shop: ExperimentHome, action: str, confirmed: tuple[str, ...], message: str
) -> None:
    name = shop.running()
    with pytest.raises(TastemakerError, match=message):
        shop.do(name, action, confirmed=confirmed)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            update(experiment_changes).where(experiment_changes.c.number == 3).values(reason="x"),
            "3 .* edited",
        ),
        (update(experiment_changes).where(experiment_changes.c.number == 2).values(actor="b"), "2 .* edited"),
        (delete(experiment_changes).where(experiment_changes.c.number == 2), "change 2 is missing"),
        (delete(experiment_changes).where(experiment_changes.c.number == 4), "last changes are missing"),
        (update(experiments).values(state="decided"), "the state is .*decided"),
        (update(experiments).values(enrolment=500_000), "the state is .*500000"),
        (update(experiment_plans).values(design={}), "design of revision 1 was edited"),
        (delete(experiment_plans), "design of revision 1 is missing"),
    ],
)
def test_verify_finds_what_was_edited_or_removed(shop: ExperimentHome, statement: Any, message: str) -> None:
    name = shop.running()
    shop.do(name, "step", confirmed=("duration", "guardrails"))
    assert shop.experiments.verify(name) == []
    with shop.experiments.engine.begin() as connection:
        connection.execute(statement)
    (found,) = shop.experiments.verify(name)
    assert re.search(message, found), found


def test_verify_finds_a_change_that_was_replaced_with_its_digest(shop: ExperimentHome) -> None:
    name = shop.running()
    second = shop.experiments.history(name)[1]
    forged = second._replace(actor="eve")
    with shop.experiments.engine.begin() as connection:
        connection.execute(
            update(experiment_changes)
            .where(experiment_changes.c.number == 2)
            .values(actor="eve", digest=forged.computed_digest())
        )
    (found,) = shop.experiments.verify(name)
    assert found == "change 3 does not follow the change before it: one was replaced"


def test_an_experiment_of_another_problem_is_left_alone(shop: ExperimentHome) -> None:
    name = shop.running()
    other = registered_versions.problem(name="other")
    elsewhere = Experiments(shop.experiments.engine, shop.experiments.folder.parent, other)
    with pytest.raises(ActionRefused, match="is of the problem 'shop', in use is 'other'"):
        elsewhere.change(name, "stop", actor="ada", reason="why")
    assert shop.experiments.owns(plan_of(shop))
    assert not elsewhere.owns(plan_of(shop))


def test_a_name_that_no_database_keeps_is_refused(shop: ExperimentHome) -> None:
    name = shop.draft()
    with pytest.raises(ActionRefused, match="has 201 characters, at most 200"):
        shop.do(name, "ready", actor="a" * 201)
    with pytest.raises(ActionRefused, match="has 201 characters"):
        shop.draft("other", owner="a" * 201)


def test_unknown_names_are_answered_with_the_nearest(shop: ExperimentHome) -> None:
    with pytest.raises(TastemakerError, match="make it: tastemaker experiment new"):
        shop.experiments.get("ranker-2")
    shop.draft()
    with pytest.raises(TastemakerError, match=r"did you mean ranker-2?"):
        shop.experiments.history("ranker2")
    with pytest.raises(TastemakerError, match="already"):
        shop.draft()
    with pytest.raises(TastemakerError, match=r"did you mean home?"):
        shop.draft("third", namespace="hom")
