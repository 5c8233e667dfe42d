"""`tastemaker frame` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tastemaker.cli.frame import frame
from tastemaker.errors import ProblemError
from tastemaker.framing.questions import QUESTIONS
from tastemaker.problem import ProblemSpec, load_problem


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASTEMAKER_PROBLEM", raising=False)


def run(*arguments: str, answers: str = "") -> Result:
    """A run that ends well."""
    return CliRunner().invoke(frame, arguments, input=answers, catch_exceptions=False)


def test_pressing_enter_throughout_writes_the_defaults(tmp_path: Path) -> None:
    result = run(answers="\n" * len(QUESTIONS))
    assert result.exit_code == 0, result.output
    asked = load_problem(tmp_path / "problem.yaml")
    assert run("--defaults", "--file", "other.yaml").exit_code == 0
    assert load_problem(tmp_path / "other.yaml") == asked
    for one in QUESTIONS:
        assert (one.reason in result.output) == (one.key != "second_share")


def test_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    before_k = [one.key for one in QUESTIONS].index("k")
    answers = "\n" * before_k + "many\n0\n4\n" + "\n" * len(QUESTIONS)
    result = run(answers=answers)
    assert "k is 'many', must be a whole number" in result.output
    assert "placement.k is 0, must be at least 1" in result.output
    assert load_problem(tmp_path / "problem.yaml").placement.k == 4


def test_given_answers_are_not_asked_again(tmp_path: Path) -> None:
    result = run("--set", "second_event_type=view", "--set", "k=3", answers="\n" * len(QUESTIONS))
    assert "How many items do you show?" not in result.output
    assert "What share of the reward does the second event have?" in result.output
    spec = load_problem(tmp_path / "problem.yaml")
    assert (spec.placement.k, spec.event_weights) == (3, {"purchase": 0.8, "view": 0.2})


def test_the_order_of_given_answers_does_not_matter(tmp_path: Path) -> None:
    run("--defaults", "--set", "second_event_type=purchase", "--set", "event_type=view")
    assert load_problem(tmp_path / "problem.yaml").event_weights == {"view": 0.8, "purchase": 0.2}


def test_giving_up_writes_nothing(tmp_path: Path) -> None:
    assert run(answers="my problem\n").exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    run("--defaults", "--set", "k=3")
    with pytest.raises(ProblemError, match="exists already"):
        run("--defaults")
    assert load_problem(tmp_path / "problem.yaml").placement.k == 3
    run("--defaults", "--force", "--set", "k=5")
    assert load_problem(tmp_path / "problem.yaml").placement.k == 5


def test_the_settings_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(tmp_path / "mine.yaml"))
    run("--defaults")
    assert load_problem(tmp_path / "mine.yaml")
    assert run("--show").output.startswith("next purchase\n")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("kk=3", "there is no question 'kk'"),
        ("k", "--set k has no answer"),
        ("k=x", "must be a whole number"),
        ("test_days=400", "split.test_days is 400, must be at most 365"),
    ],
)
def test_wrong_given_answers(tmp_path: Path, given: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        run("--defaults", "--set", given)
    assert list(tmp_path.iterdir()) == []


def test_show_in_three_forms(tmp_path: Path) -> None:
    run("--defaults", "--set", "k=5")
    assert "NDCG@5(a, R) = " in run("--show").output
    assert r"\mathrm{NDCG@5}(a, R) = " in run("--show", "--markdown").output
    shown = ProblemSpec.model_validate(json.loads(run("--show", "--json").output))
    assert shown == load_problem(tmp_path / "problem.yaml")


@pytest.mark.parametrize(
    "arguments", [("--markdown",), ("--json",), ("--show", "--markdown", "--json"), ("--show", "--force")]
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_show_without_a_file_says_what_to_run() -> None:
    with pytest.raises(ProblemError, match="run `tastemaker frame`"):
        run("--show")


def test_help_has_examples() -> None:
    assert "tastemaker frame --show --markdown > problem.md" in run("--help").output
