"""`tastemaker experiment force`: a unit that a person puts into a variant, and takes out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from tastemaker.cli.experiment import experiment
from tastemaker.errors import TastemakerError
from tastemaker.experiments.assignment import Units
from tastemaker.experiments.lifecycle.forced import FILE, read_forced
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.privacy.pseudonyms import KEY, Pseudonyms
from tastemaker.settings import load_settings

NEW = ("new", "ranker-2", "--hypothesis", "it earns more", "--planned-units", "20000", "--by", "ada")
START = ("start", "ranker-2", "--confirm", "aa", "--by", "ada")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make_for_commands(tmp_path, monkeypatch)


def run(*words: str) -> Result:
    result = CliRunner().invoke(experiment, words)
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def variant_of(user: str) -> tuple[str, str | None]:
    """Why a user has which variant, by the plan in force."""
    plans = PlanFile(load_settings().experiments_root / "plan.json")
    (outcome,) = plans.current().assigner.explain(Units(user), {})
    return outcome.reason, outcome.assigned.variant if outcome.assigned else None


@pytest.mark.usefixtures("shop")
def test_a_unit_is_forced_and_let_go_while_the_experiment_runs() -> None:
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    run(*START)
    before = variant_of("u1")
    for variant in ("on", "off"):
        assert run("force", "ranker-2", "u1", variant).output == (
            f"user u1 gets {variant} of ranker-2; it is not analysed\n"
        )
        assert variant_of("u1") == ("forced", variant)
        assert variant_of("u2")[0] != "forced"
    assert run("force", "ranker-2", "u1", "--remove").output == "user u1 was forced into off\n"
    assert variant_of("u1") == before
    assert run("force", "ranker-2", "u1", "--remove").output == "user u1 was not forced\n"


def test_who_forced_a_unit_is_in_the_audit_trail_without_its_id(shop: ExperimentHome) -> None:
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    run("force", "ranker-2", "u1", "on", "--by", "ada", "--reason", "a user complained")
    run("force", "ranker-2", "u1", "--remove", "--by", "bob")
    forced, removed = shop.experiments.history("ranker-2")[-2:]
    assert (forced.actor, forced.action, forced.reason) == ("ada", "force", "a user complained")
    assert (forced.evidence["variant"], removed.evidence["variant_before"]) == ("on", "on")
    assert (removed.actor, removed.reason, removed.to_state) == ("bob", "to look at it", "draft")
    assert "u1" not in str(forced.evidence)
    assert shop.experiments.verify("ranker-2") == []
    with pytest.raises(TastemakerError, match="needs a reason"):
        run("force", "ranker-2", "u1", "on", "--reason", " ")
    assert read_forced(shop.experiments.folder).get("ranker-2") is None


@pytest.mark.usefixtures("shop")
def test_a_unit_that_is_forced_before_the_start_is_forced_at_the_start() -> None:
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    run("force", "ranker-2", "u1", "on")
    run(*START)
    assert variant_of("u1") == ("forced", "on")


def test_no_file_has_the_id(shop: ExperimentHome, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    run(*START)
    run("force", "ranker-2", "someone@example.com", "on")
    folder = load_settings().experiments_root
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {FILE, "plan.json"} <= {path.name for path in files}
    assert not [path for path in files if b"someone" in path.read_bytes()]


@pytest.mark.usefixtures("shop")
def test_pseudonyms_and_canonical_ids_are_those_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_PRIVACY__PSEUDONYMIZE", "true")
    monkeypatch.setenv(KEY, "k" * 32)
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    run(*START)
    run("force", "ranker-2", "27.0", "on")
    assert variant_of(Pseudonyms(b"k" * 32).of("27")) == ("forced", "on")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ranker-2", "u1", "onn"), "ranker-2 has no variant 'onn'\n  fix: did you mean on?"),
        (("ranker-3", "u1", "on"), "there is no experiment 'ranker-3'"),
        (("ranker-2", "", "on"), "the unit has no id"),
        (("ranker-2", "u1"), "neither or both of VARIANT and --remove"),
        (("ranker-2", "u1", "on", "--remove"), "neither or both of VARIANT and --remove"),
    ],
)
def test_what_can_not_be_forced_is_refused(words: tuple[str, ...], says: str) -> None:
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    with pytest.raises(TastemakerError) as caught:
        run("force", *words)
    assert says in str(caught.value)
    assert read_forced(load_settings().experiments_root) == {}


@pytest.mark.usefixtures("shop")
def test_a_damaged_file_is_named() -> None:
    run(*NEW, "--flag", "off=false", "--flag", "on=true")
    path = load_settings().experiments_root / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    with pytest.raises(TastemakerError, match=r"forced\.json can't be read"):
        run("force", "ranker-2", "u1", "on")
