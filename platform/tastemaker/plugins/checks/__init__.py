"""The laws that every model obeys, one function a law, run as model × law. A plugin's test is two lines:

    from tastemaker.plugins.checks import lawful
    test_laws = lawful(MyModel)

`tastemaker models check NAME` runs the same. Each law tries the model with its default hyperparameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from tastemaker.plugins.blame import described, wrote
from tastemaker.plugins.checks import (
    dislikes,
    fitting,
    learning,
    personalization,
    propensities,
    rankings,
    searching,
    storage,
    vectors,
)
from tastemaker.plugins.checks.subject import CheckFailed, DoesNotApply, Law, Subject
from tastemaker.plugins.read_only import FIX
from tastemaker.plugins.recommender import Recommender

__all__ = ["LAWS", "CheckFailed", "CheckResult", "DoesNotApply", "Law", "Subject", "check", "judge", "lawful"]


class CheckResult(NamedTuple):
    """What a law says of a model."""

    law: str
    verdict: Literal["kept", "broken", "exempt"]
    detail: str
    """What went wrong, or why the law does not apply; empty if it is kept."""


def exemptions_are_real(subject: Subject) -> None:
    """What a model declares itself exempt from is a law, and it gives a reason."""
    for name, reason in subject.recommender.capabilities.exempt.items():
        if name not in {law.__name__ for law in LAWS}:
            raise CheckFailed(f"exempt from {name!r}, which is no law")
        if not reason.strip():
            raise CheckFailed(f"exempt from {name} without a reason")


LAWS: tuple[Law, ...] = (
    exemptions_are_real,
    *fitting.LAWS,
    *rankings.LAWS,
    *propensities.LAWS,
    *storage.LAWS,
    *personalization.LAWS,
    *dislikes.LAWS,
    *vectors.LAWS,
    *learning.LAWS,
    *searching.LAWS,
)


def run_check(law: Law, subject: Subject) -> CheckResult:
    """One law, one model. Whatever the model raises breaks the law."""
    reason = subject.recommender.capabilities.exempt.get(law.__name__)
    if reason is not None:
        return CheckResult(law.__name__, "exempt", reason)
    try:
        law(subject)
    except DoesNotApply as why:
        return CheckResult(law.__name__, "exempt", str(why))
    except CheckFailed as broken:
        return CheckResult(law.__name__, "broken", str(broken))
    except Exception as error:
        said = f"{described(error)}; {FIX}" if wrote(error) else f"raised {described(error)}"
        return CheckResult(law.__name__, "broken", said)
    return CheckResult(law.__name__, "kept", "")


def run_checks(recommender: type[Recommender[Any]]) -> list[CheckResult]:
    """Every law, in order."""
    subject = Subject(recommender)
    return [run_check(law, subject) for law in LAWS]


def parametrize_with_checks(*recommenders: type[Recommender[Any]]) -> Callable[[Subject, Law], None]:
    """A pytest function: each law on each model, with ids such as `popularity-fit_twice_is_fit_once`."""
    import pytest

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
    @pytest.mark.parametrize("subject", [Subject(one) for one in recommenders], ids=str)
    def obeys(subject: Subject, law: Law) -> None:
        reason = subject.recommender.capabilities.exempt.get(law.__name__)
        if reason is not None:
            pytest.skip(reason)
        try:
            law(subject)
        except DoesNotApply as why:
            pytest.skip(str(why))

    return obeys
