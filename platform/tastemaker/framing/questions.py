"""The questions that shrink the scope, one at a time, each with its default and its reason, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tastemaker.problem.rules import ACCURACY_METRICS
from tastemaker.problem.spec import CandidateRules, EventReward, Placement, SplitSpec

NONE_WORDS = ("", "-", "none", "no", "null")
"""What people type for nothing."""

Answers = Mapping[str, Any]
Parse = Callable[[str], Any]


class Question(NamedTuple):
    """One question. Its answer is kept under `key`."""

    key: str
    ask: str
    reason: str
    default: Any
    parse: Parse
    """Text to value. Raises ValueError whose message completes "must be ..."."""
    choices: tuple[str, ...] = ()
    applies: Callable[[Answers], bool] = lambda answers: True
    """Is it asked, given the answers so far? If not, the default holds."""


def text(answer: str) -> str:
    """Some text."""
    if not answer.strip():
        raise ValueError("some text")
    return answer.strip()


def whole_number(answer: str) -> int:
    """A whole number."""
    try:
        return int(answer)
    except ValueError:
        raise ValueError("a whole number") from None


def number(answer: str) -> float:
    """A number."""
    try:
        return float(answer)
    except ValueError:
        raise ValueError("a number") from None


def yes_or_no(answer: str) -> bool:
    """Yes or no, in full or by its first letter."""
    words = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}
    if answer.strip().lower() not in words:
        raise ValueError("yes or no")
    return words[answer.strip().lower()]


def one_of(choices: tuple[str, ...]) -> Parse:
    """One of some words."""

    def parse(answer: str) -> str:
        if answer.strip().lower() not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return answer.strip().lower()

    return parse


def unless_none(parse: Parse) -> Parse:
    """As `parse`, but none, - and nothing mean None."""
    return lambda answer: None if answer.strip().lower() in NONE_WORDS else parse(answer)


def listed(answer: str) -> tuple[str, ...]:
    """Entries between commas; none means an empty list."""
    if answer.strip().lower() in NONE_WORDS:
        return ()
    return tuple(part.strip() for part in answer.split(",") if part.strip())


def shown(value: Any) -> str:
    """A value as one would type it: what `parse` makes of it is the value."""
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
        "Who gets the recommendations?",
        "The smaller the group you begin with, the sooner you know whether it works for them.",
        _PLACEMENT.who,
        text,
    ),
    Question(
        "what",
        "What do you recommend?",
        "Goods that are bought for different reasons are better ranked as separate problems.",
        _PLACEMENT.what,
        text,
    ),
    Question(
        "where",
        "Where do they see it?",
        "One surface has one intent: a home page inspires, a basket page completes.",
        _PLACEMENT.where,
        text,
    ),
    Question(
        "when",
        "When is the list made?",
        "This sets how fresh the features must be and how fast the answer.",
        _PLACEMENT.when,
        text,
    ),
    Question(
        "k",
        "How many items do you show?",
        "Only the places that people see can earn anything, so models are evaluated on these alone.",
        _PLACEMENT.k,
        whole_number,
    ),
    Question(
        "event_type",
        "Which event do you want more of? (an event type of your data)",
        "A model gives you exactly what you reward, so reward what the business lives on.",
        "purchase",
        text,
    ),
    Question(
        "by_value",
        "Does each count by its money, rather than as one?",
        "By money, one order of 500 is worth fifty of 10: that moves the lists towards dear goods.",
        _REWARD.by_value,
        yes_or_no,
    ),
    Question(
        "window_days",
        "For how many days after an item was shown is the event still owed to it?",
        "Too short misses slow decisions; too long credits what would have happened anyway.",
        _REWARD.window_days,
        number,
    ),
    Question(
        "half_life_days",
        "After how many days is it worth half? (none: it keeps its worth)",
        "A discount prefers what works soon, and makes experiments shorter.",
        _REWARD.half_life_days,
        unless_none(number),
    ),
    Question(
        "second_event_type",
        "Do you want a second thing too? (an event type such as view, or none)",
        "Frequent small signals teach sooner than rare large ones, but pull the lists their way.",
        None,
        unless_none(text),
    ),
    Question(
        "second_share",
        "What share of the whole is the second thing worth? (between 0 and 1)",
        "Writing down the exchange rate now spares the argument when the two disagree.",
        0.2,
        number,
        applies=lambda answers: answers.get("second_event_type") is not None,
    ),
    Question(
        "metric",
        "By which metric do you evaluate a list?",
        "One number decides who is best: ndcg wants the right items first, recall wants them somewhere.",
        "ndcg",
        one_of(ACCURACY_METRICS),
        choices=ACCURACY_METRICS,
    ),
    Question(
        "coverage_at_least",
        "What share of the catalogue must be in someone's list? (0 to 1, or none)",
        "A guardrail keeps a model from winning by showing everyone the best sellers.",
        None,
        unless_none(number),
    ),
    Question(
        "baseline",
        "Which simple model must be beaten? (popularity, trending, bought_again, ...)",
        "A model that can't beat a simple one with confidence isn't worth its running costs.",
        "popularity",
        text,
    ),
    Question(
        "test_days",
        "On how many of the latest days are models evaluated?",
        "Models learn from what came before and are evaluated by what came after, as in production.",
        _SPLIT.test_days,
        whole_number,
    ),
    Question(
        "train_days",
        "From how many days before that do they learn? (none: from all)",
        "Old data adds volume, but also tastes and goods that have gone.",
        _SPLIT.train_days,
        unless_none(whole_number),
    ),
    Question(
        "repeats",
        "May people be shown what they already had?",
        "Where goods are used up, buying again is most of the business; where not, it wastes the place.",
        _CANDIDATES.repeats,
        yes_or_no,
    ),
    Question(
        "available_days",
        "After how many days without an event is an item off the shelf? (none: never)",
        "Showing what can't be had is worse than showing nothing.",
        _CANDIDATES.available_days,
        unless_none(whole_number),
    ),
    Question(
        "blocked_categories",
        "Which categories must never be shown? (between commas, or none)",
        "What must not happen belongs into a rule, not into a hope about the model.",
        _CANDIDATES.blocked_categories,
        listed,
    ),
)
