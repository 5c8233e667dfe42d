"""Each contradiction in a plan is named, with what to do about it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from support.experiment_plans import HALVES, ROUTED, SERVICES, experiment, plan_of
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import MAX_EPOCH, Assignment
from tastemaker.experiments.plan import (
    BUCKETS,
    ControlPlan,
    EarlierEpoch,
    Holdout,
    Namespace,
    PinnedService,
    TargetingRule,
    Variant,
)
from tastemaker.experiments.plan_checks import check_plan, plan_faults, routes

ROUTING: dict[str, Any] = {"services": SERVICES, "default": "champion"}


def test_good_plans_have_no_fault() -> None:
    check_plan(plan_of())
    check_plan(
        plan_of(
            experiment(
                "a", claim=((0, 400_000), (600_000, 700_000)), variants=ROUTED, forced={"0" * 16: "control"}
            ),
            experiment("b", claim=((400_000, 600_000), (700_000, BUCKETS)), variants=ROUTED, epoch=MAX_EPOCH),
            experiment("shadowed", namespace="copies", kind="shadow", variants=ROUTED),
            experiment("flag", namespace="cart", targeting=(TargetingRule("n", "at_most", (3,)),)),
            holdouts=(
                Holdout("all", "user", "held", 0),
                Holdout("home", "user", "held-home", BUCKETS, ("home",)),
            ),
            **ROUTING,
        )
    )


def _bandit(*earlier: EarlierEpoch, **other: Any) -> ControlPlan:
    fields: dict[str, Any] = {"kind": "bandit", "epoch": 3, "earlier": earlier}
    return plan_of(experiment("a", **(fields | other)))


_DRAW = {"control": (0, 1), "treatment": (1, 2)}
FAULTS: dict[str, tuple[ControlPlan, str]] = {
    "earlier epochs of another kind": (
        _bandit(EarlierEpoch(0, 1, _DRAW), kind="ab"),
        "of kind ab has units of earlier epochs",
    ),
    "earlier epochs that are not earlier": (
        _bandit(EarlierEpoch(3, 1, _DRAW)),
        "has epoch 3 between -1 and 3",
    ),
    "earlier epochs of the same units": (
        _bandit(EarlierEpoch(0, 5, _DRAW), EarlierEpoch(1, 5, _DRAW)),
        "epoch 1 of experiment a enrols the buckets from 5 to 5",
    ),
    "earlier epochs that enrol more": (
        _bandit(EarlierEpoch(0, 6, _DRAW), enrolment=5),
        "epoch 0 of experiment a enrols the buckets from 0 to 6",
    ),
    "earlier epochs of other variants": (
        _bandit(EarlierEpoch(0, 5, {"control": (0, 1)})),
        "epoch 0 of experiment a has the variants control, must be control, treatment",
    ),
    "earlier epochs whose variants overlap": (
        _bandit(EarlierEpoch(0, 5, {"control": (0, 2), "treatment": (1, 2)})),
        "variant control of experiment a in epoch 0 and variant treatment of experiment a in epoch 0 overlap",
    ),
    "experiments of one name": (
        plan_of(experiment("a"), experiment("a", "cart")),
        "2 experiments have the name 'a'",
    ),
    "services of one name": (
        plan_of(services=(SERVICES[0], SERVICES[0])),
        "2 services have the name 'champion'",
    ),
    "namespaces of one name": (
        plan_of(namespaces=(Namespace("n", "user", "1"), Namespace("n", "user", "2"))),
        "2 namespaces have the name 'n'",
    ),
    "holdouts of one name": (
        plan_of(holdouts=(Holdout("h", "user", "1", 1), Holdout("h", "user", "2", 1))),
        "2 holdouts have the name 'h'",
    ),
    "variants of one name": (
        plan_of(experiment("a", variants=(HALVES[0], HALVES[1], Variant("control", 0, 1)))),
        "2 variants of experiment a have the name 'control'",
    ),
    "a name that is a path": (plan_of(experiment("../a")), "name '../a', must be"),
    "an empty name": (plan_of(experiment("")), "name '', must be"),
    "a name that is too long": (plan_of(experiment("a" * 101)), "must be 1 to 100 letters"),
    "a salt of two": (
        plan_of(experiment("a", salt="ns-home")),
        "the salt 'ns-home' is used by home, a: their units would be the same",
    ),
    "a salt that is another coordinate's": (
        plan_of(experiment("a", salt="s"), experiment("b", "cart", salt="s/enrol")),
        "b has the salt 's/enrol', must be",
    ),
    "a salt with the separator": (plan_of(experiment("a", salt="s\x1f")), "a has the salt"),
    "an empty salt": (plan_of(experiment("a", salt="")), "a has the salt ''"),
    "an address of another kind": (
        plan_of(services=(PinnedService("s", "m", "1", "file:/x"),)),
        "service s: service address 'file:/x' is neither unix:/path nor http",
    ),
    "an address of two": (
        plan_of(services=(SERVICES[0], PinnedService("other", "m", "1", SERVICES[0].address))),
        "services champion and other have the same address unix:/run/champion.sock",
    ),
    "an unknown default": (
        plan_of(default="x", services=SERVICES),
        "names the service 'x', which is unknown",
    ),
    "a holdout above all": (
        plan_of(holdouts=(Holdout("h", "user", "s", BUCKETS + 1),)),
        "share of 1000001 buckets",
    ),
    "a holdout below none": (plan_of(holdouts=(Holdout("h", "user", "s", -1),)), "share of -1 buckets"),
    "a holdout of an unknown namespace": (
        plan_of(holdouts=(Holdout("h", "user", "s", 1, ("x",)),)),
        "holdout h names the namespace 'x', which is unknown",
    ),
    "an unknown namespace": (
        plan_of(experiment("a", "x"), namespaces=(Namespace("home", "user", "s"),)),
        "experiment a names the namespace 'x', which is unknown\n  fix: name one of: home",
    ),
    "an epoch that the log can't hold": (
        plan_of(experiment("a", epoch=MAX_EPOCH + 1)),
        "a has epoch 9223372036854775808",
    ),
    "a negative epoch": (plan_of(experiment("a", epoch=-1)), "a has epoch -1"),
    "an enrolment above all": (
        plan_of(experiment("a", enrolment=BUCKETS + 1)),
        "enrolment of 1000001 buckets",
    ),
    "a negative enrolment": (plan_of(experiment("a", enrolment=-1)), "enrolment of -1 buckets"),
    "units in another folder": (
        plan_of(experiment("a", enrolled="../x.npy")),
        "must be relative to the plan's folder",
    ),
    "units at an absolute path": (
        plan_of(experiment("a", enrolled="/x.npy")),
        "must be relative to the plan's folder",
    ),
    "no claim": (plan_of(experiment("a", claim=())), "a claims no bucket"),
    "overlapping claims": (
        plan_of(experiment("a", claim=((0, 500_001),)), experiment("b", claim=((500_000, BUCKETS),))),
        "the claim of experiment a and the claim of experiment b overlap: one ends at 500001, the other "
        "starts at 500000",
    ),
    "a claim within another": (
        plan_of(experiment("a", claim=((0, BUCKETS),)), experiment("b", claim=((5, 6), (7, 8)))),
        "overlap",
    ),
    "a claim that overlaps itself": (plan_of(experiment("a", claim=((0, 10), (5, 20)))), "overlap"),
    "a claim beyond the buckets": (
        plan_of(experiment("a", claim=((0, BUCKETS + 1),))),
        r"is [0, 1000001), must not be empty",
    ),
    "a claim below them": (plan_of(experiment("a", claim=((-1, 5),))), "is [-1, 5)"),
    "an empty claim": (plan_of(experiment("a", claim=((5, 5),))), "is [5, 5)"),
    "overlapping variants": (
        plan_of(experiment("a", variants=(Variant("control", 0, 600_000), Variant("b", 500_000, BUCKETS)))),
        "variant control of experiment a and variant b of experiment a overlap",
    ),
    "shares of more than all": (
        plan_of(experiment("a", variants=(Variant("control", 0, 600_000), Variant("b", 600_000, 1_200_000)))),
        "variant b of experiment a is [600000, 1200000)",
    ),
    "a variant without a share": (
        plan_of(experiment("a", variants=(*HALVES, Variant("c", 5, 5)))),
        "variant c of experiment a is [5, 5)",
    ),
    "no variant": (plan_of(experiment("a", variants=())), "names the variant 'control', which is unknown"),
    "control is missing": (
        plan_of(experiment("a", control="x")),
        "the control of experiment a names the variant 'x'",
    ),
    "a forced unit of an unknown variant": (
        plan_of(experiment("a", forced={"0" * 16: "x"})),
        "a forced unit of experiment a names the variant 'x'",
    ),
    "a forced unit by its id": (
        plan_of(experiment("a", forced={"u1": "control"})),
        "a forced unit of experiment a has no key of 16 hexadecimal digits",
    ),
    "a unit that is forced twice": (
        plan_of(
            experiment("a", claim=((0, 5),), forced={"0" * 16: "control"}),
            experiment("b", claim=((5, 9),), forced={"0" * 16: "control"}),
        ),
        "a unit is forced into experiments a and b of the namespace home",
    ),
    "an unknown service": (
        plan_of(experiment("a", variants=ROUTED), services=SERVICES[:1], default="champion"),
        "names the service 'challenger', which is unknown",
    ),
    "a service for some variants": (
        plan_of(experiment("a", variants=(ROUTED[0], HALVES[1])), **ROUTING),
        "has the variant treatment without a service\n  fix: name a service for each variant, or for none",
    ),
    "a shadow without services": (
        plan_of(experiment("a", kind="shadow"), **ROUTING),
        "of kind shadow has the variant control without a service",
    ),
    "three lists to mix": (
        plan_of(
            experiment(
                "a",
                kind="interleaving",
                variants=(
                    *(msgspec.structs.replace(one, end=one.end - 9) for one in ROUTED),
                    Variant("c", BUCKETS - 9, BUCKETS, service="champion"),
                ),
            ),
            **ROUTING,
        ),
        "mixes the lists of 3 variants, must be 2",
    ),
    "no default service": (
        plan_of(experiment("a", variants=ROUTED), services=SERVICES),
        "the plan has no default service for the other users",
    ),
    "two namespaces that route": (
        plan_of(experiment("a", variants=ROUTED), experiment("b", "cart", variants=ROUTED), **ROUTING),
        "choose the service of a request in 2 namespaces: a in home and b in cart",
    ),
    "a rule without a fact": (
        plan_of(experiment("a", targeting=(TargetingRule("", "in", ("x",)),))),
        "no name",
    ),
    "a rule without a value": (
        plan_of(experiment("a", targeting=(TargetingRule("country", "in", ()),))),
        "on 'country' with in without a value",
    ),
    "a limit that is text": (
        plan_of(experiment("a", targeting=(TargetingRule("age", "at_least", ("18",)),))),
        "the values ['18'], must be one number",
    ),
    "a limit that is true": (
        plan_of(experiment("a", targeting=(TargetingRule("age", "at_least", (True,)),))),
        "must be one number",
    ),
    "a limit that JSON can't hold": (
        plan_of(experiment("a", targeting=(TargetingRule("age", "at_least", (math.nan,)),))),
        "the values [nan], which a plan can't hold",
    ),
    "two limits": (
        plan_of(experiment("a", targeting=(TargetingRule("age", "at_most", (1, 2)),))),
        "must be one number",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_fix(name: str) -> None:
    plan, says = FAULTS[name]
    with pytest.raises(TastemakerError) as caught:
        check_plan(plan)
    assert says in str(caught.value)
    assert caught.value.fix


def test_all_faults_are_found() -> None:
    plan = plan_of(experiment("a", enrolment=-1, control="x", claim=()))
    assert len(list(plan_faults(plan))) == 3


def test_what_passes_fits_in_the_log() -> None:
    """The smallest variant, the highest epoch."""
    odd = (Variant("control", 0, BUCKETS - 1), Variant("b", BUCKETS - 1, BUCKETS))
    check_plan(plan_of(experiment("a", epoch=MAX_EPOCH, variants=odd)))
    assert Assignment("a", MAX_EPOCH, "b", 1 / BUCKETS).probability == 1e-6


def test_a_shadow_does_not_route() -> None:
    assert routes(experiment("a", variants=ROUTED))
    assert not routes(experiment("a", variants=ROUTED, kind="shadow"))
    assert not routes(experiment("a"))
