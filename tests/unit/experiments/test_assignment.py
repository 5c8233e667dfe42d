"""Assignment: the recipe, the order of its questions, and who may move when the plan changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from support.experiment_plans import HALVES, ROUTED, SERVICES, experiment, forced, plan_of, users
from tastemaker.errors import TastemakerError
from tastemaker.experiments.assignment import Assigned, Assigner, Units, bucket
from tastemaker.experiments.enrolled_units import write_enrolled
from tastemaker.experiments.plan import (
    BUCKETS,
    ControlPlan,
    EarlierEpoch,
    Holdout,
    Namespace,
    PlannedExperiment,
    TargetingRule,
    Variant,
)

NOWHERE = Path("/nowhere")


def variants(plan: ControlPlan, ids: list[str], folder: Path = NOWHERE) -> dict[str, str]:
    """The variant of each user who has one, in a plan of one experiment."""
    assigner = Assigner(plan, folder)
    return {
        found.variant and unit: found.variant for unit in ids for found in assigner.assign(Units(unit), {})
    }


def reasons(plan: ControlPlan, units: Units, facts: dict[str, object] | None = None) -> dict[str, str]:
    return {one.experiment: one.reason for one in Assigner(plan, NOWHERE).explain(units, facts or {})}


def recipe(plan: ControlPlan, one: PlannedExperiment, unit: str) -> str | None:
    """The variant as the documentation describes it, for a plan without holdouts and targeting."""
    (salt,) = (space.salt for space in plan.namespaces if space.name == one.namespace)
    if not any(start <= bucket(salt, unit) < end for start, end in one.claim):
        return None
    if bucket(f"{one.salt}/enrol", unit) >= one.enrolment:
        return None
    place = bucket(f"{one.salt}/variant/{one.epoch}", unit)
    return next((variant.name for variant in one.variants if variant.start <= place < variant.end), None)


def test_it_is_the_recipe() -> None:
    one = experiment(
        "a",
        epoch=3,
        claim=((0, 100_000), (300_000, 900_000)),
        enrolment=700_000,
        variants=(
            Variant("control", 0, 333_333),
            Variant("b", 400_000, 600_000),
            Variant("c", 600_000, 999_999),
        ),
    )
    plan = plan_of(one)
    ids = users(5_000)
    expected = {unit: found for unit in ids if (found := recipe(plan, one, unit)) is not None}
    assert variants(plan, ids) == expected
    assert set(expected.values()) == {"control", "b", "c"}


def test_what_is_assigned_names_service_probability_and_unit() -> None:
    split = (
        Variant("control", 0, 200_000, service="champion"),
        Variant("b", 200_000, 300_000, service="challenger"),
    )
    assigner = Assigner(
        plan_of(experiment("a", epoch=2, variants=split), services=SERVICES, default="champion"), NOWHERE
    )
    found = {one for unit in users(300) for one in assigner.assign(Units(unit), {})}
    assert {(one.variant, one.service, one.probability) for one in found} == {
        ("control", "champion", 2 / 3),
        ("b", "challenger", 1 / 3),
    }
    assert {(one.experiment, one.epoch) for one in found} == {("a", 2)}
    assert {one.unit for one in found} < set(users(300))


@pytest.mark.parametrize("place", range(4))
def test_the_unit_is_that_of_the_namespace(place: int) -> None:
    unit = Units._fields[place]
    plan = plan_of(experiment("a"), namespaces=(Namespace("home", unit, "ns"),))  # type: ignore[arg-type]
    ids: list[str | None] = ["u", "d", "s", "r"]
    (found,) = Assigner(plan, NOWHERE).assign(Units(*ids), {})
    assert found.unit == ids[place]
    ids[place] = None
    assert Assigner(plan, NOWHERE).assign(Units(*ids), {}) == ()
    ids[place] = ""
    assert reasons(plan, Units(*ids)) == {"a": "no_unit"}


def test_a_device_keeps_its_variant_at_login() -> None:
    plan = plan_of(experiment("a"), namespaces=(Namespace("home", "device", "ns"),))
    assigner = Assigner(plan, NOWHERE)
    for device in users(100):
        (before,) = assigner.assign(Units(device=device), {})
        assert assigner.assign(Units(user="known", device=device), {}) == (before,)


def test_a_ramp_moves_no_unit() -> None:
    """From 1 to 5, 20 and 100 %: who is in stays in, with the same variant."""
    ids, before = users(20_000), dict[str, str]()
    for enrolment in (10_000, 50_000, 200_000, BUCKETS):
        now = variants(plan_of(experiment("a", enrolment=enrolment)), ids)
        assert before.items() <= now.items()
        assert len(now) == pytest.approx(len(ids) * enrolment / BUCKETS, abs=4 * len(ids) ** 0.5 / 2)
        before = now


def test_a_new_epoch_draws_variants_again_and_enrols_the_same_units() -> None:
    ids = users(8_000)
    first = variants(plan_of(experiment("a", enrolment=BUCKETS // 2)), ids)
    second = variants(plan_of(experiment("a", enrolment=BUCKETS // 2, epoch=1)), ids)
    assert first.keys() == second.keys()
    table = Counter((first[unit], second[unit]) for unit in first)
    pairs = [
        [table["control", "control"], table["control", "treatment"]],
        [table["treatment", "control"], table["treatment", "treatment"]],
    ]
    assert chi2_contingency(pairs).pvalue > 1e-4


def test_a_dropped_variant_leaves_the_others_their_units() -> None:
    thirds = (Variant("control", 0, 400_000), Variant("b", 400_000, 700_000), Variant("c", 700_000, BUCKETS))
    ids = users(3_000)
    before = variants(plan_of(experiment("a", variants=thirds)), ids)
    after = variants(plan_of(experiment("a", variants=(thirds[0], thirds[2]))), ids)
    assert after == {unit: variant for unit, variant in before.items() if variant != "b"}
    dropped = next(unit for unit, variant in before.items() if variant == "b")
    plan = plan_of(experiment("a", variants=(thirds[0], thirds[2])))
    assert reasons(plan, Units(dropped)) == {"a": "no_variant"}


def test_shares_are_those_of_the_plan() -> None:
    split = (Variant("control", 0, 600_000), Variant("b", 600_000, 900_000), Variant("c", 900_000, BUCKETS))
    found = Counter(variants(plan_of(experiment("a", variants=split)), users(30_000)).values())
    counts = [found["control"], found["b"], found["c"]]
    assert chisquare(counts, [18_000, 9_000, 3_000]).pvalue > 1e-4


@pytest.mark.slow
def test_coordinates_are_independent() -> None:
    """χ² of each pair of them, over 10 by 10 groups: none is below 1e-5 of 21 pairs."""
    ids = users(30_000)
    salts = [
        "holdout",
        "ns-home",
        "ns-cart",
        "exp-a/enrol",
        "exp-a/variant/0",
        "exp-a/variant/1",
        "exp-b/variant/0",
    ]
    groups = {salt: [bucket(salt, unit) * 10 // BUCKETS for unit in ids] for salt in salts}
    for place, first in enumerate(salts):
        for second in salts[place + 1 :]:
            table = Counter(zip(groups[first], groups[second], strict=True))
            cells = [[table[row, column] for column in range(10)] for row in range(10)]
            assert chi2_contingency(cells).pvalue > 1e-5, (first, second)


def test_claims_of_a_namespace_exclude_each_other_and_namespaces_overlap() -> None:
    plan = plan_of(
        experiment("a", claim=((0, 300_000),)),
        experiment("b", claim=((300_000, 700_000),)),
        experiment("c", namespace="cart"),
    )
    assigner = Assigner(plan, NOWHERE)
    found = Counter(
        tuple(one.experiment for one in assigner.assign(Units(unit), {})) for unit in users(5_000)
    )
    assert set(found) == {("a", "c"), ("b", "c"), ("c",)}
    assert chisquare([found["a", "c"], found["b", "c"], found["c",]], [1_500, 2_000, 1_500]).pvalue > 1e-4


def test_a_holdout_covers_its_namespaces() -> None:
    both = (experiment("a"), experiment("b", namespace="cart"))
    of_all = plan_of(*both, holdouts=(Holdout("quarter", "user", "held", 100_000),))
    of_home = plan_of(*both, holdouts=(Holdout("quarter", "user", "held", 100_000, ("home",)),))
    for unit in users(500):
        is_held = bucket("held", unit) < 100_000
        names = [one.experiment for one in Assigner(of_all, NOWHERE).assign(Units(unit), {})]
        assert names == ([] if is_held else ["a", "b"])
        names = [one.experiment for one in Assigner(of_home, NOWHERE).assign(Units(unit), {})]
        assert names == (["b"] if is_held else ["a", "b"])


def test_a_request_is_held_out_by_its_user_whatever_the_unit() -> None:
    plan = plan_of(
        experiment("a"),
        namespaces=(Namespace("home", "request", "ns"),),
        holdouts=(Holdout("all", "user", "held", BUCKETS),),
    )
    assert reasons(plan, Units(user="u", request="r")) == {"a": "holdout"}
    assert reasons(plan, Units(request="r")) == {"a": "assigned"}, "nothing says whose request it is"


def test_the_order_of_the_questions() -> None:
    """Each plan has all later obstacles, too."""
    unit = Units("u1")
    obstacles: dict[str, Any] = {
        "claim": ((0, 1),) if bucket("ns-home", "u1") else ((1, 2),),
        "enrolment": 0,
        "variants": (Variant("control", 0, 1),),
        "targeting": (TargetingRule("country", "in", ("GB",)),),
    }
    held = (Holdout("all", "user", "held", BUCKETS),)
    by_hand = forced("u1", "control")
    gb: dict[str, object] = {"country": "GB"}

    def reason(
        units: Units, facts: dict[str, object], holdouts: tuple[Holdout, ...] = (), **other: Any
    ) -> str:
        return reasons(plan_of(experiment("a", **(obstacles | other)), holdouts=holdouts), units, facts)["a"]

    assert reason(Units(), {}, held, forced=by_hand, killed=True) == "killed"
    assert reason(Units(), {}, held, forced=by_hand) == "no_unit"
    assert reason(unit, {}, held, forced=by_hand) == "forced"
    assert reason(unit, {}, held) == "holdout"
    assert reason(unit, {}) == "targeting"
    assert reason(unit, gb) == "elsewhere"
    assert reason(unit, gb, claim=((0, BUCKETS),)) == "not_enrolled"
    assert reason(unit, gb, claim=((0, BUCKETS),), enrolment=BUCKETS) == "no_variant"
    assert reason(unit, gb, claim=((0, BUCKETS),), enrolment=BUCKETS, variants=HALVES) == "assigned"


def test_a_forced_unit_is_in_one_experiment_of_its_namespace_without_a_probability() -> None:
    plan = plan_of(
        experiment("a", claim=((0, 1),), forced=forced("u1", "treatment"), variants=ROUTED),
        experiment("b", claim=((1, BUCKETS),), variants=ROUTED),
        services=SERVICES,
        default="champion",
    )
    assert Assigner(plan, NOWHERE).assign(Units("u1"), {}) == (
        Assigned("a", 0, "treatment", None, "challenger", "u1"),
    )
    assert reasons(plan, Units("u1")) == {"a": "forced", "b": "elsewhere"}


def test_a_killed_experiment_gives_the_default_and_forces_no_unit() -> None:
    plan = plan_of(
        experiment("a", killed=True, forced=forced("u1", "treatment")), experiment("b", namespace="cart")
    )
    assert [one.experiment for one in Assigner(plan, NOWHERE).assign(Units("u1"), {})] == ["b"]
    assert reasons(plan, Units("u1")) == {"a": "killed", "b": "assigned"}


def test_without_kills_more_experiments() -> None:
    assigner = Assigner(plan_of(experiment("a"), experiment("b", namespace="cart")), NOWHERE)
    fewer = assigner.without(["a"])
    assert [one.experiment for one in fewer.assign(Units("u1"), {})] == ["b"]
    assert [one.experiment for one in assigner.assign(Units("u1"), {})] == ["a", "b"]


def test_held_experiments_keep_their_units_and_enrol_no_other(tmp_path: Path) -> None:
    ids = users(2_000)
    running = variants(plan_of(experiment("a", enrolment=300_000)), ids)
    assert write_enrolled(tmp_path / "a.npy", "exp-a", running) == len(running)
    held = plan_of(experiment("a", enrolment=0, enrolled="a.npy"))
    assert variants(held, ids, tmp_path) == running


def test_a_killed_experiment_needs_no_file_of_units() -> None:
    with pytest.raises(TastemakerError, match=r"/nowhere/a\.npy can't be read"):
        Assigner(plan_of(experiment("a", enrolled="a.npy")), NOWHERE)
    Assigner(plan_of(experiment("a", enrolled="a.npy", killed=True)), NOWHERE)


ranges = st.sampled_from(
    [((0, BUCKETS),), ((0, 400_000),), ((400_000, BUCKETS),), ((0, 1), (700_000, 800_000))]
)
planned = st.builds(
    lambda number, **fields: experiment(f"e{number}", **fields),
    number=st.integers(0, 10**6),
    namespace=st.sampled_from(["home", "cart", "mail"]),
    claim=ranges,
    enrolment=st.sampled_from([0, 300_000, BUCKETS]),
    variants=st.sampled_from([HALVES, (Variant("control", 200_000, 600_000),)]),
    targeting=st.sampled_from([(), (TargetingRule("n", "at_least", (2,)),)]),
    killed=st.booleans(),
    forced=st.sampled_from([{}, forced("u0000001", "control")]),
)


bandits = st.builds(
    lambda one: msgspec.structs.replace(
        one,
        kind="bandit",
        epoch=2,
        enrolment=one.enrolment or 250_000,
        earlier=(EarlierEpoch(0, 200_000, {v.name: (v.start // 2, v.end // 2) for v in one.variants}),),
    ),
    planned,
)
cuts = st.lists(st.integers(1, BUCKETS), min_size=2, max_size=6, unique=True).map(sorted)


@pytest.mark.slow
@settings(max_examples=40)
@given(cuts, st.data())
def test_a_bandits_unit_keeps_its_variant_and_its_probability(ends: list[int], data: st.DataObject) -> None:
    """Whatever shares each epoch has: who is in stays as it is, and the others are divided by the newest."""
    shares = [data.draw(st.integers(1, BUCKETS - 1), label="share of control") for _ in ends]
    before: dict[str, Assigned] = {}
    ids = users(300)
    for epoch, (end, share) in enumerate(zip(ends, shares, strict=True)):
        earlier = tuple(
            EarlierEpoch(
                number, ends[number], {"control": (0, shares[number]), "treatment": (shares[number], BUCKETS)}
            )
            for number in range(epoch)
        )
        halves = Variant("control", 0, share), Variant("treatment", share, BUCKETS)
        one = experiment("a", kind="bandit", epoch=epoch, enrolment=end, variants=halves, earlier=earlier)
        assigner = Assigner(plan_of(one), NOWHERE)
        found = {one.unit: one for unit in ids for one in assigner.assign(Units(unit), {})}
        assert before.items() <= found.items()
        for unit in found.keys() - before.keys():
            chances = {"control": share / BUCKETS, "treatment": 1 - share / BUCKETS}
            assert found[unit].epoch == epoch
            assert found[unit].probability == pytest.approx(chances[found[unit].variant])
            is_control = bucket(f"exp-a/variant/{epoch}", unit) < share
            assert found[unit].variant == ("control" if is_control else "treatment")
        assert found.keys() == {unit for unit in ids if bucket("exp-a/enrol", unit) < end}
        before = found


@settings(max_examples=60)
@given(st.lists(st.one_of(planned, bandits), max_size=4), st.sampled_from([0, 300_000]), st.integers(0, 4))
def test_assign_and_explain_agree(experiments: list[PlannedExperiment], share: int, number: int) -> None:
    plan = plan_of(*experiments, holdouts=(Holdout("some", "user", "held", share),))
    try:
        assigner = Assigner(plan, NOWHERE)
    except TastemakerError:
        return
    order = [one.name for one in plan.namespaces]
    namespace = {one.name: order.index(one.namespace) for one in experiments}
    for unit in users(30):
        found = assigner.assign(Units(unit), {"n": number})
        outcomes = assigner.explain(Units(unit), {"n": number})
        assert [one.experiment for one in outcomes] == [one.name for one in experiments]
        explained = [one.assigned for one in outcomes if one.assigned is not None]
        assert sorted(found, key=lambda one: one.experiment) == sorted(
            explained, key=lambda one: one.experiment
        )
        assert len({namespace[one.experiment] for one in found}) == len(found), "one per namespace"
        assert all((one.assigned is not None) == (one.reason in ("assigned", "forced")) for one in outcomes)


def test_a_plan_survives_its_file_format() -> None:
    plan = plan_of(
        experiment("a", targeting=(TargetingRule("n", "in", (1, True, "x")),), forced=forced("é", "control"))
    )
    assert msgspec.json.decode(msgspec.json.encode(plan), type=ControlPlan) == plan
