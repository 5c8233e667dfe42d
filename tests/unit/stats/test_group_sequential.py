"""Bounds of group-sequential tests: published values, simulation, and the error rates that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.stats.group_sequential import (
    bounds,
    crossing,
    obrien_fleming,
    sample_factor,
    stagewise_estimate,
)

DAILY = [(day + 1) / 14 for day in range(14)]
ONCE = 1.9599639845


def square(t: float) -> float:
    """Return what of a level of 5 % is spent: little early."""
    return 0.05 * t**2


def cubic(t: float) -> float:
    """Return what of a level of 5 % is spent: less early than by `square`."""
    return 0.05 * t**3


def test_one_sided_bounds_of_obrien_fleming_type() -> None:
    """Values of SeqBounds.jl's README, to four digits."""
    found = bounds([0.25, 0.5, 0.75, 1], obrien_fleming(0.05, two_sided=False), two_sided=False)
    assert found == pytest.approx([3.7496, 2.5399, 2.0160, 1.7201], abs=1e-4)


def test_two_sided_bounds_of_a_level_spent_by_the_square() -> None:
    """Values of spotify-confidence 4.1, whose grid is coarse."""
    found = bounds([0.2, 0.4, 0.6, 0.8, 1.0], square)
    assert found == pytest.approx([3.0902, 2.7141, 2.4727, 2.2798, 2.1140], abs=2e-4)


def test_one_look_is_the_usual_test() -> None:
    for spending in (obrien_fleming(0.05), cubic):
        assert bounds([1.0], spending)[0] == pytest.approx(ONCE, abs=1e-8)


@pytest.mark.parametrize(("looks", "expected"), [(5, 0.142), (14, 0.220), (28, 0.275)])
def test_repeated_looks_at_the_usual_bound_reject_too_often(looks: int, expected: float) -> None:
    """Armitage, McPherson and Rowe's table: 14.2 % for five looks."""
    information = [(look + 1) / looks for look in range(looks)]
    assert crossing(information, [ONCE] * looks).total == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("spending", [obrien_fleming(0.05), square])
def test_all_looks_together_reject_as_often_as_promised(spending: object) -> None:
    z = bounds(DAILY, spending)  # type: ignore[arg-type]
    assert crossing(DAILY, z).total == pytest.approx(0.05, abs=1e-6)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=8, unique=True), st.booleans())
def test_looks_need_not_be_equal(times: list[float], two_sided: bool) -> None:
    information = sorted(times)
    spending = obrien_fleming(0.05, two_sided=two_sided)
    z = bounds(information, spending, two_sided=two_sided)
    assert crossing(information, z, two_sided=two_sided).total == pytest.approx(
        spending(information[-1]), abs=2e-6
    )


def test_crossing_probabilities_are_those_of_simulated_paths() -> None:
    information, z, drift = [0.1, 0.4, 0.55, 1.0], [2.8, 2.4, 2.3, 2.1], 1.7
    rng = np.random.default_rng(1)
    steps = np.diff([0.0, *information])
    scores = (drift * steps + np.sqrt(steps) * rng.normal(size=(400_000, 4))).cumsum(axis=1)
    values = scores / np.sqrt(information)
    crossed = np.abs(values) >= z
    first = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4)
    found = crossing(information, z, drift)
    for look in range(4):
        at = first == look
        above = (at & (values[:, min(look, 3)] > 0)).mean()
        assert found.above[look] == pytest.approx(above, abs=4 * np.sqrt(above / 400_000) + 1e-5)
        assert found.below[look] == pytest.approx(at.mean() - above, abs=2e-4)


def test_power_and_sample_of_fourteen_daily_looks() -> None:
    z = bounds(DAILY, obrien_fleming(0.05))
    drift = ONCE + 0.8416212336
    assert crossing(DAILY, z, drift).total == pytest.approx(0.783, abs=1e-3)
    assert sample_factor(DAILY, z, alpha=0.05, power=0.8) == pytest.approx(1.04, abs=5e-3)


def test_a_look_that_spends_nothing_is_never_crossed() -> None:
    z = bounds([0.001, 1.0], obrien_fleming(0.05))
    assert z[0] == 12
    assert z[1] == pytest.approx(ONCE, abs=1e-6)


@pytest.mark.parametrize("information", [[], [0.0, 1.0], [0.5, 0.5], [0.6, 0.5], [0.5, 1.1], [float("nan")]])
def test_information_that_does_not_rise_to_one_is_refused(information: list[float]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        bounds(information, square)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_an_alpha_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        obrien_fleming(alpha)


@pytest.mark.parametrize("z", [-3.0, 0.0, 0.4, 2.5])
def test_after_one_look_the_estimate_is_that_look(z: float) -> None:
    found = stagewise_estimate([0.64], [], z)
    assert found == pytest.approx((z / 0.8, (z - ONCE) / 0.8, (z + ONCE) / 0.8), abs=1e-7)


def test_the_estimate_changes_its_sign_with_the_path() -> None:
    z = bounds(DAILY, obrien_fleming(0.05))
    up, down = (stagewise_estimate(DAILY[:9], z[:8], sign * 3.0) for sign in (1, -1))
    assert (up.drift, up.low, up.high) == pytest.approx((-down.drift, -down.high, -down.low), abs=1e-6)


@pytest.mark.parametrize(("look", "last"), [(3, 4.3), (8, 2.9), (8, -2.9), (13, 2.3), (13, 0.5)])
def test_half_of_simulated_paths_end_higher_than_the_estimate_s(look: int, last: float) -> None:
    """Higher: above a bound earlier, or at the same look with a larger Z."""
    z = bounds(DAILY, obrien_fleming(0.05))[:look]
    found = stagewise_estimate(DAILY[: look + 1], z, last)
    times = np.array(DAILY[: look + 1])
    steps = np.diff(times, prepend=0.0)
    noise = np.random.default_rng(2).normal(size=(100_000, look + 1)) * np.sqrt(steps)
    for drift, share in zip(found, (0.5, 0.025, 0.975), strict=True):
        values = (drift * steps + noise).cumsum(axis=1) / np.sqrt(times)
        crossed = np.abs(values[:, :look]) >= z
        first = np.where(crossed.any(axis=1), crossed.argmax(axis=1), look)
        end = values[np.arange(len(values)), first]
        higher = np.where(first < look, end > 0, end > last).mean()
        assert higher == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 100_000))


def test_the_estimate_is_nearer_to_0_than_the_effect_of_the_look_that_stopped() -> None:
    z = bounds(DAILY, obrien_fleming(0.05))
    for look in range(1, 14):
        last = float(z[look]) + 0.1
        assert 0 < stagewise_estimate(DAILY[: look + 1], z[:look], last).drift < last / np.sqrt(DAILY[look])


def test_each_look_but_the_last_needs_its_bound() -> None:
    with pytest.raises(ValueError, match=r"3 bounds were given for 3 looks, must be 2"):
        stagewise_estimate([0.2, 0.5, 1.0], [3.0, 2.5, 2.0], 1.0)
