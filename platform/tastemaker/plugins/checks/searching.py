"""Checks of the search space."""

from __future__ import annotations

from tastemaker.plugins.checks.subject import Check, CheckFailed, DoesNotApply, Subject
from tastemaker.plugins.search_space import find_mistakes, search_space


def search_space_holds_the_defaults(subject: Subject) -> None:
    """Check that the search space contains the defaults, and that the config accepts its ends."""
    config_type = subject.recommender.config_type
    if not search_space(config_type):
        raise DoesNotApply("no hyperparameter has a search space")
    found = find_mistakes(config_type)
    if found:
        raise CheckFailed("; ".join(found))


CHECKS: tuple[Check, ...] = (search_space_holds_the_defaults,)
