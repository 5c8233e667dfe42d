"""`tastemaker experiment` from `new` to `archive`, by what it prints and by what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML
from sqlalchemy import insert

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from tastemaker.cli.experiment import experiment
from tastemaker.errors import TastemakerError
from tastemaker.experiments.plan_file import decode_plan
from tastemaker.registry import champion
from tastemaker.storage.tables import looks
from tastemaker.workflows.workspace import Workspace

NEW = ("new", "ranker-2", "--hypothesis", "it earns more", "--planned-units", "20000", "--by", "ada")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make_for_commands(tmp_path, monkeypatch)


def run(*words: str) -> Result:
    result = CliRunner().invoke(experiment, words, catch_exceptions=True)
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def json_of(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def take_look(shop: ExperimentHome, verdict: str, information: float = 0.5) -> None:
    """Store a planned look of ranker-2."""
    now = datetime.now(UTC)
    row = {
        "experiment": "ranker-2",
        "epoch": 0,
        "number": 3,
        "at": now,
        "log_until": now,
        "is_planned": True,
        "units": {"control": 5_000, "b": 5_000},
        "pending_units": 0,
        "crossed_units": 0,
        "information": information,
        "alpha_spent": 0.01,
        "verdict": verdict,
        "sentence": f"b is {verdict}",
        "details": {},
    }
    with shop.experiments.engine.begin() as connection:
        connection.execute(insert(looks).values(row))


@pytest.mark.slow
def test_an_experiment_from_its_draft_to_the_promotion(shop: ExperimentHome) -> None:
    said = run(*NEW, "--variant", f"toy@{shop.challenger.id}").output
    assert said == (
        "draft of ranker-2: control, b in the namespace home\nnext: tastemaker experiment start ranker-2\n"
    )
    with pytest.raises(TastemakerError, match="no A/A experiment has passed"):
        run("start", "ranker-2", "--by", "ada")
    said = run("start", "ranker-2", "--confirm", "aa", "--by", "ada").output
    assert said.startswith("ranker-2: running, 1 % of the units enrolled\n")
    assert "next: tastemaker experiment hold ranker-2 --reason REASON\n" in said
    with pytest.raises(TastemakerError, match="b was not checked since this step began"):
        run("step", "ranker-2", "--confirm", "duration", "--by", "ada")
    run("step", "ranker-2", "--confirm", "duration", "--confirm", "guardrails", "--by", "ada")
    assert "step 2 of 4: 5 % of the units" in run("list").output
    with pytest.raises(TastemakerError, match="ranker-2 has no planned look yet"):
        run("ship", "ranker-2", "b", "--reason", "it is better", "--by", "ada")
    take_look(shop, "better")
    shown = json_of("ship", "ranker-2", "b", "--reason", "it is better", "--by", "ada")
    assert (shown["to_state"], shown["champion"], shown["freezes"]) == ("decided", shop.challenger.id, True)
    promoted = champion.log(shop.experiments.engine, "shop")[-1]
    assert promoted.version_id == shop.challenger.id
    assert promoted.reason == "experiment ranker-2, look 3: b is better (it is better)"
    plan = decode_plan((shop.experiments.folder / "plan.json").read_bytes())
    assert (plan.experiments, plan.default) == ((), f"toy@{shop.challenger.id}")
    run("archive", "ranker-2", "--by", "ada")
    assert run("list").output == "no experiment; make one: tastemaker experiment new NAME\n"
    assert json_of("list", "--all")[0]["state"] == "archived"
    found = run("history", "ranker-2")
    assert [line.split("  ")[3].split(":")[0] for line in found.output.splitlines()[:-1]] == [
        "create -> draft",
        "ready -> ready",
        "start -> running",
        "step",
        "ship -> decided",
        "archive -> archived",
    ]
    assert found.output.endswith("no change was edited or removed\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verdict", "information", "confirmed", "message"),
    [
        ("undecided", 0.5, (), "look 3 has not decided: b is undecided"),
        ("undecided", 0.5, ("--confirm", "verdict"), "look 3 has not decided"),
        ("worse", 1.0, ("--confirm", "verdict"), "b is worse at look 3: b is worse"),
        ("invalid", 1.0, ("--confirm", "verdict"), "the newest look is invalid: b is invalid"),
        ("equal", 1.0, (), "it is over and no difference was found"),
        ("equal", 1.0, ("--confirm", "verdict"), None),
    ],
)
def test_only_a_planned_look_or_the_end_ships(
    shop: ExperimentHome, verdict: str, information: float, confirmed: tuple[str, ...], message: str | None
) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    run("start", "ranker-2", "--confirm", "aa")
    take_look(shop, verdict, information)
    words = ("ship", "ranker-2", "b", "--reason", "why", *confirmed)
    if message is None:
        assert run(*words).exit_code == 0
        return
    with pytest.raises(TastemakerError, match=message):
        run(*words)
    assert shop.registry.champion("shop") == shop.champion
    assert run("drop", "ranker-2", "--reason", "why").output.startswith("ranker-2: decided\n")
    assert shop.experiments.history("ranker-2")[-1].evidence["verdict"] == verdict


@pytest.mark.slow
def test_show_says_what_may_be_done_next_and_why_not(shop: ExperimentHome) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    said = run("show", "ranker-2").output
    assert said.startswith("It is a draft: it has not started.\nranker-2: draft, 1 change,")
    assert f"b           50 %, toy {shop.challenger.id}\n" in said
    assert f"control     50 %, toy {shop.champion.id}, control\n" in said
    run("start", "ranker-2", "--confirm", "aa")
    found = {one["action"]: one for one in json_of("show", "ranker-2")["next"]}
    assert [one["guard"] for one in found["step"]["objections"]] == ["duration", "guardrails"]
    assert found["ship"]["allowed"] is False
    assert found["roll_back"]["allowed"] is True
    assert found["step"]["effect"] == (
        "raises the enrolment from 1 % to 5 % of the units; no unit changes its variant"
    )
    assert (
        "not yet: tastemaker experiment ship ranker-2 b --reason REASON\n" in run("show", "ranker-2").output
    )


def test_a_design_is_printed_and_taken_back(shop: ExperimentHome, tmp_path: Path) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}", "--share", "b=0.3")
    text = run("show", "ranker-2", "--design").output
    content = YAML(typ="safe", pure=True).load(text)
    assert content["variants"]["b"]["share"] == "30 %"
    assert content["steps"] == ["1 %", "5 %", "20 %", "100 %"]
    assert content["window_days"] == 3.0
    file = tmp_path / "design.yaml"
    file.write_text(text.replace("30 %", "20.5 %").replace("70 %", "79.5 %"))
    assert run("revise", "ranker-2", "--from", str(file)).output.startswith("ranker-2: revision 2")
    assert shop.experiments.get("ranker-2").design.variants["b"].share == 205_000
    file.write_text(text.replace("name: ranker-2", "name: other"))
    assert run("new", "--from", str(file)).output.startswith("draft of other")


@pytest.mark.slow
def test_a_new_epoch_says_what_it_does_before_it_does_it(shop: ExperimentHome) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    run("start", "ranker-2", "--confirm", "aa")
    words = ("new-epoch", "ranker-2", "--reason", "the features are fixed")
    asked = CliRunner().invoke(experiment, words, input="n\n")
    assert asked.exit_code == 1
    assert "this begins epoch 1 at 1 % of the units: all units are assigned again" in asked.output
    assert shop.experiments.get("ranker-2").epoch == 0
    assert run(*words, "--yes").output.startswith("ranker-2: running, 1 % of the units enrolled\n")
    assert shop.experiments.get("ranker-2").epoch == 1


def test_a_kill_acts_while_the_database_does_not_answer(
    shop: ExperimentHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    run("start", "ranker-2", "--confirm", "aa")
    monkeypatch.setenv("TASTEMAKER_DATABASE_URL", "postgresql+psycopg2://nouser@127.0.0.1:1/none")
    said = json_of("kill", "ranker-2", "--reason", "errors")
    assert (said["killed"], said["recorded"]) == (True, False)
    assert "can't be used" in said["trouble"]
    path = shop.experiments.folder / "plan.json"
    assert decode_plan(path.read_bytes()).experiments[0].killed
    monkeypatch.delenv("TASTEMAKER_DATABASE_URL")
    with pytest.raises(TastemakerError, match="is rolled_back, so hold is not possible"):
        run("hold", "ranker-2", "--reason", "why")
    assert shop.experiments.history("ranker-2")[-1].reason == "errors"
    assert run("plan").output.endswith("no experiment runs\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("new", "x"), "x has no hypothesis"),
        (("new",), "the experiment has no name"),
        (
            ("new", "x", "--hypothesis", "h", "--flag", "a=1", "--flag", "b=2"),
            "how many units x needs can't be planned from the log",
        ),
        ((*NEW, "--variant", "toy", "--flag", "on=1"), "over models or over a flag"),
        ((*NEW, "--flag", "on"), "the flag 'on' has no value"),
        ((*NEW, "--flag", "a=1", "--flag", "a=2"), "two variants have the name 'a'"),
        ((*NEW, "--flag", "a=1", "--flag", "b=2", "--share", "c=0.3"), "there is no variant 'c'"),
        ((*NEW, "--flag", "a=1", "--flag", "b=2", "--share", "a=1.5"), "'a=1.5' is not NAME=SHARE"),
        (
            (*NEW, "--flag", "a=1", "--flag", "b=2", "--share", "a=0.6", "--share", "b=0.6"),
            "the shares add up to 1.2",
        ),
        (
            (*NEW, "--flag", "a=1", "--flag", "b=2", "--share", "a=0.3", "--share", "a=0.6"),
            "a is given twice",
        ),
        ((*NEW, "--flag", "a=NaN", "--flag", "b=2"), "variant a has the value nan, which JSON can't hold"),
        (
            (*NEW, "--flag", "a=1", "--flag", "b=2", "--share", "a=0.3", "--share", "b=0.6"),
            "the shares add up to 0.9, so 0.1 of the units would be in no variant",
        ),
        ((*NEW, "--flag", "a=1", "--flag", "b=2", "--claim", "half"), "--claim 'half' is not a percentage"),
        ((*NEW, "--flag", "a=1", "--flag", "b=2", "--primary", "sale"), "there is no metric 'sale'"),
        (
            (*NEW, "--flag", "a=1", "--flag", "b=2", "--primary", "events_per_user:sale"),
            "no event carries it, the problem has no sale",
        ),
        ((*NEW, "--flag", "a=1"), "it has 1 variant"),
        ((*NEW, "--variant", "toy@20260101-000000-000000-000000000000"), "no version '20260101"),
        ((*NEW, "--variant", "toy@v1"), "no version 'v1'"),
        (
            (*NEW, "--from", "missing.yaml"),
            "--from takes the whole design, so hypothesis, planned_units can't",
        ),
        (("new", "--from", "missing.yaml"), "missing.yaml can't be read"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    shop: ExperimentHome, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TastemakerError, match=message) as caught:
        run(*words, "--namespace", "basket") if "--from" not in words and len(words) > 4 else run(*words)
    assert caught.value.fix
    assert list(shop.experiments.list()) == []
    assert [one.name for one in shop.experiments.namespaces()] == ["home"]


def test_an_aa_experiment_and_a_flag_need_no_version(shop: ExperimentHome) -> None:
    words = ("--hypothesis", "h", "--planned-units", "1000")
    run("new", "aa-home", "--kind", "aa", *words)
    design = shop.experiments.get("aa-home").design
    assert {one.version for one in design.variants.values()} == {shop.champion.id}
    run(
        "new", "badge", "--flag", "off=false", "--flag", 'on={"text": "new"}', "--namespace", "basket", *words
    )
    flags = shop.experiments.get("badge").design
    assert [one.value for one in flags.variants.values()] == [False, {"text": "new"}]
    assert (flags.control, flags.namespace) == ("off", "basket")
    assert [(one.name, one.unit) for one in shop.experiments.namespaces()] == [
        ("basket", "user"),
        ("home", "user"),
    ]


def test_namespaces_and_holdouts_are_made_and_listed(shop: ExperimentHome) -> None:
    run("namespaces", "add", "basket", "--unit", "session", "--cool-down", "2")
    assert run("namespaces").output.splitlines() == [
        "basket  session  0 experiments  cool-down 2 days",
        "home  user  0 experiments  cool-down 1 hour",
    ]
    reason = ("--reason", "what all of them earn")
    run("holdouts", "add", "spring", "--share", "0.05", "--namespace", "home", *reason)
    assert run("holdouts").output == "spring  5 % of the users  home  in force  what all of them earn\n"
    plan = decode_plan((shop.experiments.folder / "plan.json").read_bytes())
    assert [(one.name, one.share, one.namespaces) for one in plan.holdouts] == [("spring", 50_000, ("home",))]
    with pytest.raises(TastemakerError, match="holds out a user, the namespace basket assigns a session"):
        run("holdouts", "add", "other", "--share", "0.05", "--namespace", "basket", *reason)
    said = run("holdouts", "add", "all", "--share", "0.05", *reason).output
    assert "requests without a user are not held out of basket, which assigns a session" in said
    assert "of home" not in said
    run("holdouts", "end", "all")
    run("holdouts", "end", "spring")
    assert decode_plan((shop.experiments.folder / "plan.json").read_bytes()).holdouts == ()
    assert json_of("holdouts")[0]["ends_at"] is not None
    with pytest.raises(TastemakerError, match="there is no open holdout 'spring'"):
        run("holdouts", "end", "spring")


def test_names_that_differ_in_case_alone_are_refused(shop: ExperimentHome) -> None:
    """On some file systems the kill of one would be the file of the other."""
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    alike = "there is an experiment 'ranker-2' already, and 'Ranker-2' differs from it in case alone"
    with pytest.raises(TastemakerError, match=alike):
        run("new", "Ranker-2", *NEW[2:], "--variant", f"toy@{shop.challenger.id}")
    with pytest.raises(TastemakerError, match="there is a namespace 'home' already, and 'HOME' differs"):
        run("namespaces", "add", "HOME")
    holdout = ("--share", "0.05", "--reason", "what all of them earn")
    run("holdouts", "add", "spring", *holdout)
    with pytest.raises(TastemakerError, match="there is a holdout 'spring' already, and 'Spring' differs"):
        run("holdouts", "add", "Spring", *holdout)


def test_names_that_the_log_does_not_carry_are_warned_of(shop: ExperimentHome, tmp_path: Path) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    design = YAML(typ="safe").load(run("show", "ranker-2", "--design").output)
    design |= {"slices": ["contry"], "targeting": [{"fact": "platfrom", "operator": "in", "values": ["ios"]}]}
    file = tmp_path / "design.yaml"
    with file.open("w") as stream:
        YAML(typ="safe").dump(design, stream)
    empty, unknown = "! The slice 'contry' is empty", "! No request was logged in the last 7 days"
    for words in (
        ("revise", "ranker-2", "--from", str(file)),
        ("show", "ranker-2"),
        ("start", "ranker-2", "--confirm", "aa", "--by", "ada"),
    ):
        said = run(*words).output
        assert empty in said, words
        assert unknown in said, words
    assert len(json_of("show", "ranker-2")["concerns"]) >= 2
    design["name"] = "other"
    with file.open("w") as stream:
        YAML(typ="safe").dump(design, stream)
    assert len(json_of("new", "--from", str(file), "--by", "ada")["warnings"]) == 2


def test_without_an_experiment_there_are_clear_words(shop: ExperimentHome) -> None:
    assert run("list").output == "no experiment; make one: tastemaker experiment new NAME\n"
    assert json_of("list") == []
    with pytest.raises(TastemakerError, match="there is no experiment 'x'"):
        run("show", "x")
    (shop.experiments.folder / "plan.json").unlink()
    assert run("plan").output == (
        "no plan: no experiment was started; tastemaker experiment plan --write compiles one\n"
    )
    assert (json_of("plan")["revision"], json_of("plan")["experiments"]) == (0, [])
    assert run("plan", "--write").output.endswith("no experiment runs\n")


def test_a_plan_that_controllers_refuse_is_not_shown_as_the_one_in_force(shop: ExperimentHome) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}")
    path = shop.experiments.folder / "plan.json"
    older = path.read_bytes()
    run("start", "ranker-2", "--confirm", "aa")
    path.write_bytes(older)
    revision = decode_plan(older).revision
    header, warning, *_ = run("plan").output.splitlines()
    assert f"revision {revision}, " in header
    assert warning == (
        f"! revision {revision + 1} was written later, and controllers refuse this one: "
        "tastemaker experiment plan --write"
    )
    written = run("plan", "--write").output
    assert f"revision {revision + 2}, " in written
    assert "!" not in written


def test_a_promotion_compiles_the_plan_again(shop: ExperimentHome) -> None:
    shop.experiments.publish()
    Workspace.open().registry.make_champion(shop.challenger, "it is better", forced=True)
    plan = decode_plan((shop.experiments.folder / "plan.json").read_bytes())
    assert plan.default == f"toy@{shop.challenger.id}"


def test_variants_may_follow_their_models(shop: ExperimentHome) -> None:
    run(*NEW, "--variant", f"toy@{shop.challenger.id}", "--recipes")
    found = shop.experiments.get("ranker-2").design.variants
    assert {one.version for one in found.values()} == {None}
    assert len({one.recipe for one in found.values()}) == 2
