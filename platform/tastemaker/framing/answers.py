"""From answers to a problem."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from tastemaker.errors import ProblemError
from tastemaker.framing.questions import QUESTIONS, Answers, Question
from tastemaker.problem.rules import broken_rules
from tastemaker.problem.spec import ProblemSpec
from tastemaker.problem.wording import in_words


def question(key: str) -> Question:
    """Return the question of a key. Raises ProblemError with the nearest key."""
    known = {one.key: one for one in QUESTIONS}
    if key not in known:
        near = get_close_matches(key, known, n=1)
        raise ProblemError(
            f"there is no question {key!r}",
            fix=f"did you mean {near[0]}?" if near else f"the questions are: {', '.join(known)}",
        )
    return known[key]


def parse(asked: Question, answer: str) -> Any:
    """Return the value of a single answer.

    Args:
        asked: The question, which says how an answer is read.
        answer: The text of the answer.

    Raises:
        ProblemError: The answer can't be read; the message says what it must be.
    """
    try:
        return asked.parse(answer)
    except ValueError as error:
        raise ProblemError(f"{asked.key} is {answer!r}, must be {error}", fix=asked.ask) from error


def accept(asked: Question, answer: str, so_far: Answers) -> Any:
    """Return the value of an answer that is consistent with the earlier ones.

    Args:
        asked: The question, which says how an answer is read.
        answer: The text of the answer.
        so_far: The earlier answers.

    Raises:
        ProblemError: The answer is invalid; the message says what it must be.
    """
    value = parse(asked, answer)
    to_problem({**so_far, asked.key: value})
    return value


def to_problem(answers: Answers) -> ProblemSpec:
    """Return the problem of some answers, with defaults for the others. Raises ProblemError."""
    mapping = _mapping({one.key: one.default for one in QUESTIONS} | dict(answers))
    try:
        return ProblemSpec.model_validate(mapping)
    except ValidationError as error:
        wrong = in_words(error) or list(broken_rules(mapping))
        raise ProblemError(
            "; ".join(finding.problem for finding in wrong), fix="; ".join(finding.fix for finding in wrong)
        ) from error


def _mapping(full: dict[str, Any]) -> dict[str, Any]:
    guardrails = []
    if full["coverage_at_least"] is not None:
        guardrails.append({"metric": "coverage", "at_least": full["coverage_at_least"]})
    return {
        "name": full["name"],
        "placement": {key: full[key] for key in ("who", "what", "where", "when", "k")},
        "objectives": _objectives(full),
        "metric": full["metric"],
        "guardrails": guardrails,
        "baseline": full["baseline"],
        "split": {key: full[key] for key in ("test_days", "train_days")},
        "candidates": {key: full[key] for key in ("repeats", "available_days", "blocked_categories")},
    }


def _objectives(full: dict[str, Any]) -> list[dict[str, Any]]:
    timing = {key: full[key] for key in ("window_days", "half_life_days")}
    first, second = full["event_type"], full["second_event_type"]
    if second is None:
        return [{"name": first, "events": {first: {"by_value": full["by_value"], **timing}}}]
    return [
        {
            "name": first,
            "share": round(1 - full["second_share"], 12),
            "events": {first: {"by_value": full["by_value"], **timing}},
        },
        {"name": second, "share": full["second_share"], "events": {second: timing}},
    ]
