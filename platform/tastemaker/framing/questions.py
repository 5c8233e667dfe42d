"""Questions that define a problem, each with its default and its reason, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tastemaker.problem.rules import ACCURACY_METRICS
from tastemaker.problem.spec import CandidateRules, EventReward, Placement, SplitSpec

NONE_WORDS = ("", "-", "none", "no", "null")
"""Answers that mean no value."""

Answers = Mapping[str, Any]
Parse = Callable[[str], Any]


class Question(NamedTuple):
    """Question of `tastemaker frame`, whose answer is stored under `key`."""

    key: str
    ask: str
    reason: str
    default: Any
    parse: Parse
    """Converts text to a value. Raises ValueError with a message that completes "must be ..."."""
    choices: tuple[str, ...] = ()
    applies: Callable[[Answers], bool] = lambda answers: True
    """Returns whether it is asked, given the answers so far; if not, the default is used."""


def text(answer: str) -> str:
    """Parse text that is not empty."""
    if not answer.strip():
        raise ValueError("some text")
    return answer.strip()


def whole_number(answer: str) -> int:
    """Parse a whole number."""
    try:
        return int(answer)
    except ValueError:
        raise ValueError("a whole number") from None


def number(answer: str) -> float:
    """Parse a number."""
    try:
        return float(answer)
    except ValueError:
        raise ValueError("a number") from None


def yes_or_no(answer: str) -> bool:
    """Parse yes or no, in full or by its first letter."""
    words = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}
    if answer.strip().lower() not in words:
        raise ValueError("yes or no")
    return words[answer.strip().lower()]


def one_of(choices: tuple[str, ...]) -> Parse:
    """Return a parser of one of some words."""

    def parse(answer: str) -> str:
        if answer.strip().lower() not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return answer.strip().lower()

    return parse


def unless_none(parse: Parse) -> Parse:
    """Return a parser like `parse` for which none, - and an empty answer mean None."""
    return lambda answer: None if answer.strip().lower() in NONE_WORDS else parse(answer)


def listed(answer: str) -> tuple[str, ...]:
    """Parse entries separated by commas; none means an empty list."""
    if answer.strip().lower() in NONE_WORDS:
        return ()
    return tuple(part.strip() for part in answer.split(",") if part.strip())


def shown(value: Any) -> str:
    """Return a value as text that `parse` converts back to it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else f"{value}"


_PLACEMENT, _REWARD, _SPLIT, _CANDIDATES = Placement(), EventReward(), SplitSpec(), CandidateRules()

QUESTIONS = (
    Question(
        "name",
        "What do you call this problem?",
        "Results are only compared within one problem, and the name keeps them apart.",
        "next purchase",
        text,
    ),
    Question(
        "who",
        "Who gets recommendations?",
        "With a smaller group you know sooner whether it works for them.",
        _PLACEMENT.who,
        text,
    ),
    Question(
        "what",
        "What do you recommend?",
        "Items that are bought for different reasons are better ranked as separate problems.",
        _PLACEMENT.what,
        text,
    ),
    Question(
        "where",
        "Where are they shown?",
        "Each page has its own purpose: a home page inspires, a basket page completes an order.",
        _PLACEMENT.where,
        text,
    ),
    Question(
        "when",
        "When is the list requested?",
        "This decides how recent the features and how fast the answer must be.",
        _PLACEMENT.when,
        text,
    ),
    Question(
        "k",
        "How many items do you show?",
        "Only the positions that users see can earn a reward, so models are evaluated on these only.",
        _PLACEMENT.k,
        whole_number,
    ),
    Question(
        "event_type",
        "Which event do you want more of? (an event type of your data)",
        "A model optimizes exactly what you reward, so reward what the business needs.",
        "purchase",
        text,
    ),
    Question(
        "by_value",
        "Does each event count by its value (money) instead of as 1?",
        "By value, one order of 500 counts as much as fifty of 10: lists move towards expensive items.",
        _REWARD.by_value,
        yes_or_no,
    ),
    Question(
        "window_days",
        "For how many days after an impression is an event attributed to it?",
        "Too short misses slow decisions; too long attributes what would have happened anyway.",
        _REWARD.window_days,
        number,
    ),
    Question(
        "half_life_days",
        "After how many days of delay does an event count half? (none: no discount)",
        "A discount prefers items that work soon, and makes experiments shorter.",
        _REWARD.half_life_days,
        unless_none(number),
    ),
    Question(
        "second_event_type",
        "Do you want more of a second event, too? (an event type such as view, or none)",
        "Frequent small signals are learned sooner than rare large ones, but they change the lists.",
        None,
        unless_none(text),
    ),
    Question(
        "second_share",
        "What share of the reward does the second event have? (between 0 and 1)",
        "The share decides which list is better when the two events disagree.",
        0.2,
        number,
        applies=lambda answers: answers.get("second_event_type") is not None,
    ),
    Question(
        "metric",
        "Which metric evaluates a list?",
        "One number decides which model is best: ndcg wants relevant items first, recall anywhere.",
        "ndcg",
        one_of(ACCURACY_METRICS),
        choices=ACCURACY_METRICS,
    ),
    Question(
        "coverage_at_least",
        "What share of the catalogue must be in someone's list? (0 to 1, or none)",
        "A guardrail prevents that a model wins by showing all users the best sellers.",
        None,
        unless_none(number),
    ),
    Question(
        "baseline",
        "Which simple model is the baseline? (popularity, trending, bought_again, ...)",
        "A model that is not significantly better than a simple one is not worth its costs.",
        "popularity",
        text,
    ),
    Question(
        "test_days",
        "On how many of the latest days are models evaluated?",
        "Models are fitted on the days before and evaluated on these, as in production.",
        _SPLIT.test_days,
        whole_number,
    ),
    Question(
        "train_days",
        "On how many days before that are they fitted? (none: on all)",
        "Old data adds volume, but also tastes and items that no longer exist.",
        _SPLIT.train_days,
        unless_none(whole_number),
    ),
    Question(
        "repeats",
        "May users be shown items that they already had?",
        "Consumables are bought again and again; for other items a repeat wastes a position.",
        _CANDIDATES.repeats,
        yes_or_no,
    ),
    Question(
        "available_days",
        "After how many days without an event is an item unavailable? (none: never)",
        "Showing an unavailable item is worse than showing none.",
        _CANDIDATES.available_days,
        unless_none(whole_number),
    ),
    Question(
        "blocked_categories",
        "Which categories must never be shown? (separated by commas, or none)",
        "A rule is certain; a model only makes a bad item unlikely.",
        _CANDIDATES.blocked_categories,
        listed,
    ),
)
