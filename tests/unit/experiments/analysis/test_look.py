"""Looks at random tables of units: what they decide, when, and how often wrongly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from support.experiment_units import DAY, design, looks, units
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.look import Look, look_at
from tastemaker.experiments.analysis.unit_table import Stratum, UnitDays, UnitTable
from tastemaker.experiments.design import Design, GuardrailDesign
from tastemaker.experiments.unit_metrics import METRICS
from tastemaker.stats.effects import stratified_effect
from tastemaker.stats.group_sequential import bounds, obrien_fleming
from tastemaker.stats.unit_summary import Float64, UnitSummary


def take(table: UnitTable, plan: Design | None = None, *, past: Sequence[float] = ()) -> Look:
    return look_at(table, plan or design(), METRICS, past=past)


def primary(look: Look, variant: str = "B", *, is_adjusted: bool = True) -> LookEffect:
    (found,) = [
        one
        for one in look.effects
        if (one.role, one.variant, one.is_adjusted, one.slice) == ("primary", variant, is_adjusted, "")
    ]
    return found


def width(effect: LookEffect) -> float:
    assert effect.low is not None
    assert effect.high is not None
    return effect.high - effect.low


def test_one_look_at_the_end_is_welchs_test() -> None:
    """With a single look and no covariates nothing remains of the bounds: z is the quantile of α."""
    table = units(seed=3, effect=0.1)
    look = take(table, design(looks=1, covariate_days=0, planned_units=len(table)))
    reward = table.columns["reward"]
    t = stats.ttest_ind(reward[table.rows_of("B")], reward[table.rows_of("A")], equal_var=False)
    effect = primary(look, is_adjusted=False)
    assert look.is_planned
    assert look.bound == pytest.approx(stats.norm.ppf(0.975))
    assert effect.p == pytest.approx(t.pvalue)
    interval = t.confidence_interval(0.95)
    ends = (effect.low, effect.high)
    assert ends == pytest.approx((interval.low, interval.high), rel=1e-4)


def test_bounds_are_those_of_the_looks_that_were_taken() -> None:
    found = [one for one in looks(units(seed=1), design()) if one.is_planned]
    information = [one.information for one in found]
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert len(found) > 5
    expected = bounds(information, obrien_fleming(0.05))
    assert [one.bound for one in found] == pytest.approx(list(expected))
    assert found[-1].alpha_spent == pytest.approx(0.05)


def test_a_look_between_planned_ones_decides_nothing() -> None:
    """However large the effect is."""
    table = units(seed=1, effect=3.0)
    plan = design(planned_units=1_950, looks=2)
    early = take(table.as_of(8 * DAY), plan)
    assert early.information < 0.5
    assert (early.is_planned, early.verdict, early.bound, early.alpha_spent) == (
        False,
        "undecided",
        None,
        0.0,
    )
    assert "before look 1 at 975 mature units: not decided" in early.sentence
    later = take(table.as_of(12 * DAY), plan)
    assert (later.is_planned, later.verdict, later.number) == (True, "better", 1)


def test_more_units_than_planned_end_the_plan_at_once() -> None:
    look = take(units(seed=2), design(planned_units=500), past=[0.4])
    assert (look.information, look.number, look.is_planned) == (1.0, 2, True)
    assert look.verdict in ("better", "worse", "equal")
    assert not take(units(seed=2), design(planned_units=500), past=[0.4, 1.0]).is_planned


def test_few_units_of_a_variant_decide_nothing() -> None:
    table = units(600, seed=5, odds=(0.95, 0.05))
    plan = design(shares=(950_000, 50_000), planned_units=600, looks=1)
    table = UnitTable.of(
        table.variants, table.variant, table.exposed_at, table.columns,
        window_days=3, until=table.until, shares=(0.95, 0.05),
    )  # fmt: skip
    look = take(table, plan)
    assert look.units["B"] < 50
    assert (look.is_planned, look.verdict) == (False, "undecided")


@pytest.mark.parametrize("kind", ["none", "unexposed", "immature"])
def test_no_mature_unit_gives_no_effect(kind: str) -> None:
    table = units(200)
    empty = {"none": table.first(0, table.until), "unexposed": table.as_of(0), "immature": table.as_of(DAY)}[
        kind
    ]
    look = take(empty)
    assert (look.verdict, look.effects, look.is_planned) == ("undecided", (), False)
    assert look.pending_units == len(empty)
    assert look.sentence


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_few_units_are_not_an_error(n: int) -> None:
    look = take(units(n, seed=n), design(planned_units=n))
    assert look.verdict == "undecided"
    assert sum(look.units.values()) == n


def test_rewards_that_are_all_zero_decide_nothing() -> None:
    """The end is final, and events that come late, or were never reported, would not change it."""
    table = units(400)
    table = table.replaced({"reward": np.zeros(400)})
    look = take(table, design(planned_units=400))
    assert (look.verdict, look.is_planned, look.alpha_spent) == ("undecided", False, 0)
    assert look.sentence.startswith("Reward per user is 0 for all 400 mature units: nothing is decided")


def test_faults_of_lists_that_never_happen_are_equal_at_the_end() -> None:
    """Lists are there: that none is a fallback is known."""
    table = units(400)
    table = table.replaced({"fallback_lists": np.zeros(400)})
    look = take(table, design(planned_units=400, primary="fallback_share"))
    assert (look.verdict, primary(look).p) == ("equal", 1.0)
    assert "differs by 0, 95 % 0 to 0" in look.sentence


def test_pending_and_crossed_units_are_counted() -> None:
    table = units(1_000, seed=4).as_of(10 * DAY)
    crossed = np.zeros(len(table), bool)
    crossed[:30] = True
    table = replace(table, is_crossed=crossed)
    look = take(table)
    mature = int((table.exposed_at <= 7 * DAY).sum())
    assert (sum(look.units.values()), look.pending_units, look.crossed_units) == (
        mature,
        len(table) - mature,
        30,
    )
    assert any("seen in two variants" in one for one in look.details["warnings"])


def test_wrongly_divided_units_have_no_effect() -> None:
    table = units(3_000, seed=6, effect=0.5, odds=(0.44, 0.56))
    look = take(table, design(planned_units=3_000))
    assert (look.verdict, look.effects, look.is_planned) == ("invalid", (), False)
    assert look.ratio_p is not None
    assert look.ratio_p < 1e-6
    assert look.details["reasons"][0]["p"] < 0.01
    assert "no effect can be believed" in look.sentence


def test_the_ratio_is_that_of_the_plan_at_the_enrolment() -> None:
    """A first step that gave all units to control is right by its plan, and wrong by the final one."""
    variant = np.array([0] * 1_000 + [0] * 1_010 + [1] * 990)
    table = UnitTable.of(
        ("A", "B"), variant, np.arange(3_000.0), {"reward": np.ones(3_000)}, window_days=1, until=9 * DAY
    )
    steps = (Stratum(0, "all", (1.0, np.nan)), Stratum(0, "half", (0.5, 0.5)))
    stepped = replace(table, strata=steps, stratum=np.repeat([0, 1], [1_000, 2_000]))
    look = take(stepped, design(planned_units=3_000))
    assert look.ratio_p == pytest.approx(0.6547208)
    assert look.verdict == "equal"
    assert take(table, design(planned_units=3_000)).verdict == "invalid"


def test_probabilities_that_do_not_add_up_are_an_error() -> None:
    table = units(100)
    wrong = replace(table, strata=(Stratum(0, "ab12", (0.5, 0.7)),))
    with pytest.raises(TastemakerError, match=r"under the plan ab12 add up to 1\.2, must be 1"):
        take(wrong)


def test_adjusted_and_raw_effects_are_both_given_and_the_adjusted_one_decides() -> None:
    look = take(units(seed=7), design(planned_units=1_900))
    raw, adjusted = primary(look, is_adjusted=False), primary(look)
    assert raw.verdict is None
    assert adjusted.verdict in ("better", "worse", "equal", "undecided")
    assert width(adjusted) < width(raw)


def test_values_are_cut_at_the_fixed_limit() -> None:
    table = units(seed=8)
    reward = table.columns["reward"]
    look = take(table, design(winsorize_at=5.0, covariate_days=0))
    effect = primary(look, is_adjusted=False)
    assert effect.value == pytest.approx(np.minimum(reward, 5)[table.rows_of("B")].mean())
    assert look.details["cut_units"] == int((reward > 5).sum())
    assert look.details["raw_means"]["A"] == pytest.approx(reward[table.rows_of("A")].mean())


def test_other_metrics_of_the_cut_column_are_not_cut() -> None:
    plan = design(primary="requests_per_user", secondary=("ctr_list",), covariate_days=0)
    table = units(seed=8)
    plain = take(table, plan)
    cut = take(table, msgspec.structs.replace(plan, winsorize_at=2.0))
    assert primary(cut, is_adjusted=False).value == pytest.approx(
        np.minimum(table.columns["lists"], 2)[table.rows_of("B")].mean()
    )
    rates = [[one for one in look.effects if one.metric == "ctr_list"] for look in (plain, cut)]
    assert rates[0] == rates[1]


def test_secondary_metrics_are_corrected_for_their_number() -> None:
    names = ("ctr_list", "active_share", "requests_per_user")
    look = take(units(seed=9, variants=("A", "B", "C")), design(("A", "B", "C"), secondary=names))
    for is_adjusted in (False, True):
        rows = [one for one in look.effects if one.role == "secondary" and one.is_adjusted is is_adjusted]
        assert len(rows) == 6
        p = [one.p for one in rows]
        assert [one.p_adjusted for one in rows] == pytest.approx(
            multipletests(p, method="fdr_bh")[1].tolist()
        )


@pytest.mark.slow
def test_primary_p_values_are_corrected_by_holm() -> None:
    look = take(units(seed=10, variants=("A", "B", "C", "D")), design(("A", "B", "C", "D")))
    rows = [one for one in look.effects if one.role == "primary" and one.is_adjusted]
    expected = multipletests([one.p for one in rows], method="holm")[1]
    assert [one.p_adjusted for one in rows] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(("margin", "verdict"), [(0.2, "safe"), (0.0001, "unknown")])
def test_a_guardrail_is_safe_if_a_larger_loss_is_ruled_out(margin: float, verdict: str) -> None:
    guardrails = (GuardrailDesign("ctr_list", margin), GuardrailDesign("fallback_share", margin))
    look = take(units(4_000, seed=11), design(guardrails=guardrails, planned_units=4_000))
    rows = [one for one in look.effects if one.role == "guardrail"]
    assert [one.verdict for one in rows] == [verdict, verdict]


def test_a_guardrail_that_became_worse_is_harmed() -> None:
    table = units(3_000, seed=12)
    worse = table.columns["fallback_lists"] + (table.variant == 1)
    look = take(
        table.replaced({"fallback_lists": worse}),
        design(guardrails=(GuardrailDesign("fallback_share", 0.01),), planned_units=3_000),
    )
    (row,) = [one for one in look.effects if one.role == "guardrail"]
    assert row.verdict == "harm"
    assert any("Guardrail fallback_share of B" in one for one in look.details["warnings"])


def test_a_bandits_units_are_compared_within_epochs() -> None:
    """Rewards rise from epoch to epoch, and so does the share of B: pooled, B would look better."""
    rng = np.random.default_rng(0)
    n = 4_000
    epoch = np.repeat([0, 1], n // 2)
    variant = (rng.random(n) < np.where(epoch == 0, 0.2, 0.8)).astype(int)
    table = UnitTable.of(
        ("A", "B"), variant, np.arange(float(n)), {"reward": rng.normal(5 * epoch + 1.0, 1)},
        window_days=1, until=9 * DAY,
    )  # fmt: skip
    strata = (Stratum(0, "", (0.8, 0.2)), Stratum(1, "", (0.2, 0.8)))
    table = replace(table, strata=strata, stratum=epoch)
    pooled = take(table, design(planned_units=n, covariate_days=0))
    assert pooled.verdict == "better"
    look = take(table, design(planned_units=n, covariate_days=0, kind="bandit"))
    assert look.verdict == "equal"
    assert primary(look, is_adjusted=False).difference == pytest.approx(0, abs=0.1)


def test_interleaving_has_looks_of_its_own() -> None:
    with pytest.raises(TastemakerError, match="no variant to compare"):
        take(units(10), design(kind="interleaving"))


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(60, 900),
    effect=st.sampled_from([-0.9, -0.3, 0.0, 0.2, 1.0]),
    variants=st.sampled_from([("A", "B"), ("A", "B", "C")]),
    primary_metric=st.sampled_from(["reward_per_user", "ctr_list", "fallback_share"]),
    looks_planned=st.integers(1, 6),
    done=st.integers(0, 3),
)
def test_interval_and_verdict_never_contradict(
    seed: int,
    n: int,
    effect: float,
    variants: tuple[str, ...],
    primary_metric: str,
    looks_planned: int,
    done: int,
) -> None:
    table = units(n, seed=seed, effect=effect, variants=variants)
    plan = design(variants, primary=primary_metric, planned_units=n, looks=looks_planned)
    past = [0.2 * (k + 1) for k in range(done)]
    look = take(table, plan, past=past)
    for one in look.effects:
        if one.verdict is None or one.role != "primary":
            continue
        assert one.low is not None
        assert one.high is not None
        better = one.low > 0 if METRICS[primary_metric].direction == "up" else one.high < 0
        worse = one.high < 0 if METRICS[primary_metric].direction == "up" else one.low > 0
        if look.is_planned:
            expected = (
                "better"
                if better
                else "worse"
                if worse
                else "equal"
                if look.information == 1
                else "undecided"
            )
            assert one.verdict == expected
        else:
            assert one.verdict == "undecided"
        if one.relative_low is not None and one.relative_high is not None and np.isfinite(one.relative_high):
            assert (one.relative_low > 0, one.relative_high < 0) == (one.low > 0, one.high < 0)
            if one.is_adjusted:
                printed = re.findall(
                    rf"(?:of {one.variant} is|{one.variant} earned).*? 95 % (\S+) to (\S+),", look.sentence
                )
                low, high = (float(end.replace("−", "-")) for end in printed[0])
                assert (low > 0, high < 0) == (one.low > 0, one.high < 0)
    if look.verdict == "better":
        assert "better than A" in look.sentence


@pytest.mark.parametrize("metric", ["reward_per_user", "ctr_list"])
def test_effects_by_day_count_units_without_a_row_as_zero(metric: str) -> None:
    """Against the same figures with a row for every unit and day."""
    table, rng = units(1_500, seed=13), np.random.default_rng(0)
    over = rng.exponential(1, (1_500, 3)) * (rng.random((1_500, 3)) < 0.2)
    under: Float64 = np.where(over > 0, 2.0, 1.0)
    row, day = np.nonzero(over)
    dated = replace(table, days=UnitDays(row, day, over[row, day], under[row, day]))
    look = take(dated, design(primary=metric, planned_units=1_500))
    found = {one.slice: one for one in look.effects if one.slice.startswith("day=")}
    assert sorted(found) == ["day=0", "day=1", "day=2"]
    for at in range(3):
        listed = over[:, at] > 0
        columns = {"over": over[:, at], "under": np.where(listed, under[:, at], 0.0)}
        sides = [UnitSummary.of({k: v[table.rows_of(name)] for k, v in columns.items()}) for name in "BA"]
        below = None if metric == "reward_per_user" else "under"
        expected = stratified_effect([(sides[0], sides[1])], "over", below, at_least_pooled=True)
        row_found = found[f"day={at}"]
        assert row_found.difference == pytest.approx(expected.difference)
        assert (row_found.low, row_found.high) == pytest.approx((expected.low, expected.high))
