"""The checks that every model must pass, one function per check. A plugin's test is two lines:

    from tastemaker.plugins.checks import parametrize_with_checks
    test_checks = parametrize_with_checks(MyModel)

`tastemaker models check NAME` runs them too. Each check fits the model with its default hyperparameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

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
from tastemaker.plugins.error_location import describe_error, is_write_to_read_only
from tastemaker.plugins.read_only import FIX
from tastemaker.plugins.recommender import Recommender

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckResult",
    "DoesNotApply",
    "Subject",
    "parametrize_with_checks",
    "run_check",
    "run_checks",
]


class CheckResult(NamedTuple):
    """The result of one check of one model."""

    check: str
    verdict: Literal["passed", "failed", "exempt"]
    detail: str
    """What went wrong, or why the check does not apply; empty if it passed."""


def exemptions_are_real(subject: Subject) -> None:
    """Check that every exemption that a model declares names a check and gives a reason."""
    for name, reason in subject.recommender.capabilities.exempt.items():
        if name not in {check.__name__ for check in CHECKS}:
            raise CheckFailed(f"exempt from {name!r}, which is not a check")
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
    """Run one check on one model.

    Args:
        check: One of CHECKS.
        subject: The model. Several checks may share it: it is fitted once.

    Returns:
        "passed", "failed" with what went wrong, or "exempt" with the reason. What the model raises fails the
        check; nothing is raised.
    """
    reason = subject.recommender.capabilities.exempt.get(check.__name__)
    if reason is not None:
        return CheckResult(check.__name__, "exempt", reason)
    try:
        check(subject)
    except DoesNotApply as why:
        return CheckResult(check.__name__, "exempt", str(why))
    except CheckFailed as failure:
        return CheckResult(check.__name__, "failed", str(failure))
    except Exception as error:
        said = (
            f"{describe_error(error)}; {FIX}"
            if is_write_to_read_only(error)
            else f"raised {describe_error(error)}"
        )
        return CheckResult(check.__name__, "failed", said)
    return CheckResult(check.__name__, "passed", "")


def run_checks(recommender: type[Recommender[Any]]) -> list[CheckResult]:
    """Run every check of CHECKS on a model class and return the results in that order."""
    subject = Subject(recommender)
    return [run_check(check, subject) for check in CHECKS]


def parametrize_with_checks(*recommenders: type[Recommender[Any]]) -> Callable[[Subject, Check], None]:
    """Return a pytest test function that runs each check on each model.

    Args:
        recommenders: The model classes to check.

    Returns:
        A parametrized function to assign to a name that begins with `test`. Its cases have ids such as
        `popularity-fit_twice_is_fit_once`; a check that does not apply is skipped with the reason.
    """
    import pytest

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("subject", [Subject(one) for one in recommenders], ids=str)
    def passes(subject: Subject, check: Check) -> None:
        reason = subject.recommender.capabilities.exempt.get(check.__name__)
        if reason is not None:
            pytest.skip(reason)
        try:
            check(subject)
        except DoesNotApply as why:
            pytest.skip(str(why))

    return passes
