"""The pace of a rollout: hours for newer data of the champion's recipe, days for other versions."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tastemaker.promotion_settings import PromotionSettings
from tastemaker.rollouts.pace import Pace, choose_pace, pace_of
from tastemaker.rollouts.states import NEWER_FIT
from tastemaker.rollouts.store import RolloutChange

HOURS = st.floats(0.5, 720)


def change(**evidence: bool) -> RolloutChange:
    return RolloutChange(datetime.now(UTC), "schedule", "approval", "the newest", evidence)


def test_the_defaults_are_a_day_and_three_hours() -> None:
    promotion = PromotionSettings()
    assert pace_of([change()], promotion) == Pace(24.0, 24.0, 28.0, (0.01, 0.05, 0.2, 0.5))
    assert pace_of([change(**{NEWER_FIT: True}), change()], promotion) == Pace(3.0, 3.0, 7.0, (0.05, 0.5))


@given(shadow=st.just(0.0) | HOURS, step=HOURS, newer=HOURS)
def test_newer_data_take_no_longer_than_another_version(shadow: float, step: float, newer: float) -> None:
    promotion = PromotionSettings(shadow_hours=shadow, step_hours=step, newer_fit_hours=newer)
    other = choose_pace(promotion, is_newer_fit=False)
    fit = choose_pace(promotion, is_newer_fit=True)
    assert fit.shadow_hours == min(shadow, newer)
    assert fit.step_hours == min(step, newer)
    assert other[:2] == (shadow, step)
    assert set(fit.shares) < set(other.shares)
    assert fit.shares[-1] == other.shares[-1] == 0.5
