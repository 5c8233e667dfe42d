"""How fast a version takes the steps of the path rollout: in hours if only its data are newer, else in days.

A newer fit has the code and the config of the champion, which all users have. What can be wrong with it is
its data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tastemaker.promotion_settings import PromotionSettings
from tastemaker.rollouts.states import NEWER_FIT
from tastemaker.rollouts.store import RolloutChange

_NEWER_FIT_SHARES = (0.05, 0.5)
_NEWER_FIT_DAYS = 7.0
"""A canary that waits longer for its users would keep data in service that are older than those it delays."""


class Pace(NamedTuple):
    """The steps of the path rollout, and their times."""

    shadow_hours: float
    """In the shadow, before the first users."""
    step_hours: float
    """The shortest time at each step with users."""
    max_days: float
    """The longest time that the planner may expect it to take."""
    shares: tuple[float, ...] = (0.01, 0.05, 0.2, 0.5)
    """Share of the users that have the version at each step; as many are compared with them. All but the last
    are the canary, the last is the ramp."""


def choose_pace(promotion: PromotionSettings, *, is_newer_fit: bool) -> Pace:
    """Return the pace of a version.

    Args:
        promotion: The hours of both kinds.
        is_newer_fit: Whether it differs from the champion by newer data alone.
    """
    pace = Pace(promotion.shadow_hours, promotion.step_hours, promotion.max_days)
    if not is_newer_fit:
        return pace
    return Pace(
        min(pace.shadow_hours, promotion.newer_fit_hours),
        min(pace.step_hours, promotion.newer_fit_hours),
        min(pace.max_days, _NEWER_FIT_DAYS),
        _NEWER_FIT_SHARES,
    )


def pace_of(changes: Iterable[RolloutChange], promotion: PromotionSettings) -> Pace:
    """Return the pace of a rollout.

    Args:
        changes: Its changes; their evidence says whether the version is the champion's recipe with newer
            data.
        promotion: The settings of promotion, as in `choose_pace`.
    """
    return choose_pace(promotion, is_newer_fit=any(NEWER_FIT in one.evidence for one in changes))
