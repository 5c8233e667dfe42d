"""The checks that every model passes, one function per check. A plugin's test is two lines:

    from tastemaker.plugins.checks import parametrize_with_checks
    test_checks = parametrize_with_checks(MyModel)

`tastemaker models check NAME` runs the same. Each check tries the model with its default hyperparameters.
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
from tastemaker.plugins.checks.subject import Check, CheckFailed, DoesNotApply, Subject
from tastemaker.plugins.read_only import FIX
from tastemaker.plugins.recommender import Recommender

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckResult",
    "DoesNotApply",
    "Subject",
    "check",
    "judge",
    "parametrize_with_checks",
]


class CheckResult(NamedTuple):
    """What a check says of a model."""

    check: str
    verdict: Literal["kept", "broken", "exempt"]
    detail: str
    """What went wrong, or why the check does not apply; empty if it is kept."""


def exemptions_are_real(subject: Subject) -> None:
    """What a model declares itself exempt from is a check, and it gives a reason."""
    for name, reason in subject.recommender.capabilities.exempt.items():
        if name not in {check.__name__ for check in CHECKS}:
            raise CheckFailed(f"exempt from {name!r}, which is no check")
        if not reason.strip():
            raise CheckFailed(f"exempt from {name} without a reason")


CHECKS: tuple[Check, ...] = (
    exemptions_are_real,
    *fitting.CHECKS,
    *rankings.CHECKS,
    *propensities.CHECKS,
    *storage.CHECKS,
    *personalization.CHECKS,
    *dislikes.CHECKS,
    *vectors.CHECKS,
    *learning.CHECKS,
    *searching.CHECKS,
)


def run_check(check: Check, subject: Subject) -> CheckResult:
    """One check, one model. Whatever the model raises breaks the check."""
    reason = subject.recommender.capabilities.exempt.get(check.__name__)
    if reason is not None:
        return CheckResult(check.__name__, "exempt", reason)
    try:
        check(subject)
    except DoesNotApply as why:
        return CheckResult(check.__name__, "exempt", str(why))
    except CheckFailed as broken:
        return CheckResult(check.__name__, "broken", str(broken))
    except Exception as error:
        said = f"{described(error)}; {FIX}" if wrote(error) else f"raised {described(error)}"
        return CheckResult(check.__name__, "broken", said)
    return CheckResult(check.__name__, "kept", "")


def run_checks(recommender: type[Recommender[Any]]) -> list[CheckResult]:
    """Every check, in order."""
    subject = Subject(recommender)
    return [run_check(check, subject) for check in CHECKS]


def parametrize_with_checks(*recommenders: type[Recommender[Any]]) -> Callable[[Subject, Check], None]:
    """A pytest function: each check on each model, with ids such as `popularity-fit_twice_is_fit_once`."""
    import pytest

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("subject", [Subject(one) for one in recommenders], ids=str)
    def obeys(subject: Subject, check: Check) -> None:
        reason = subject.recommender.capabilities.exempt.get(check.__name__)
        if reason is not None:
            pytest.skip(reason)
        try:
            check(subject)
        except DoesNotApply as why:
            pytest.skip(str(why))

    return obeys
