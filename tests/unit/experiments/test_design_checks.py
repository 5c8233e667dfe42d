"""Designs with one mistake each: what is said about it."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.experiment_homes import design
from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import Design, GuardrailDesign, VariantDesign
from tastemaker.experiments.design_checks import DesignFault, Known, check_design, design_faults
from tastemaker.experiments.design_file import design_text, read_design_file
from tastemaker.experiments.interleaving_checks import interleaving_fault
from tastemaker.experiments.plan import TargetingRule, in_proportion
from tastemaker.serving_settings import RetrievalSettings

GONE = DesignFault("version v9 is gone", "name another")
KNOWN = Known(
    namespaces={"home": "user", "lists": "request"},
    metric_fault=lambda name: None if name.startswith("re") else DesignFault(f"no metric {name}", "use one"),
    version_fault=lambda variant: GONE if variant.version == "v9" else None,
    has_champion=True,
)


def faults(**fields: Any) -> list[str]:
    return [one.problem for one in design_faults(design("x", "v1", "v2", **fields), KNOWN)]


def test_lists_are_not_mixed_where_an_item_stands_for_its_neighbours() -> None:
    for setting in ({"diversity": 0.3, "new_items": False}, {"new_items": True}):
        known = KNOWN._replace(mixing_fault=interleaving_fault(RetrievalSettings(**setting)))
        mixed = design("x", "v1", "v2", kind="interleaving", namespace="lists")
        (fault,) = design_faults(mixed, known)
        assert fault.problem.startswith("its lists can't be mixed: retrieval.")
        assert list(design_faults(design("x", "v1", "v2"), known)) == []
    plain = RetrievalSettings(diversity=0, new_items=False)
    assert interleaving_fault(plain) is None


def served(share: int, version: str | None = "v1", **more: Any) -> VariantDesign:
    return VariantDesign(share=share, model="toy", version=version, **more)


def flag(share: int, **more: Any) -> VariantDesign:
    return VariantDesign(share=share, **more)


HALF = 500_000


def test_a_good_design_has_no_fault() -> None:
    assert faults() == []
    assert faults(variants={"a": flag(HALF, value=1), "b": flag(HALF, value=2)}) == []
    assert faults(variants={"a": flag(HALF), "b": flag(HALF)}) == []
    assert faults(variants={"a": flag(HALF, value=1), "b": flag(HALF, value=True)}) == []
    assert faults(kind="aa", variants={"a": served(HALF), "b": served(HALF)}) == []
    assert faults(kind="aa", variants={"a": flag(HALF, value=1), "b": flag(HALF, value=1)}) == []
    assert faults(kind="interleaving", namespace="lists") == []


@pytest.mark.parametrize("variants", range(2, 8))
def test_equal_shares_may_be_rounded_down(variants: int) -> None:
    """To four decimals of a percentage: each variant loses less than a bucket."""
    equal = {f"v{number}": flag(1_000_000 // variants, value=number) for number in range(variants)}
    assert faults(control="v0", variants=equal) == []
    equal["v0"] = flag(equal["v0"].share - variants, value=0)
    (fault,) = faults(control="v0", variants=equal)
    assert fault.startswith("the shares add up to 99.999")


def test_equal_shares_that_were_rounded_up_are_refused_with_those_to_write() -> None:
    variants = {name: flag(166_667, value=name) for name in "abcdef"}
    (fault,) = design_faults(design("x", "v1", "v2", variants=variants), KNOWN)
    assert fault.problem == "the shares add up to 100.0002 %, must be 100 %"
    written = ", ".join(f"{name} 16.6666 %" for name in variants)
    assert fault.fix == f"to keep their proportions, write {written}"
    assert faults(variants={name: flag(166_666, value=name) for name in variants}) == []


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(10, 2_000_000), min_size=2))
def test_the_shares_to_write_instead_are_right(shares: dict[str, int]) -> None:
    written = in_proportion(shares)
    assert 1_000_000 - len(shares) < sum(written.values()) <= 1_000_000
    for name, share in shares.items():
        assert abs(written[name] - 1_000_000 * share / sum(shares.values())) < 1 + 1e-5


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "bandit", "steps": (1_000_000,)}, "a bandit of one step enrols all units"),
        ({"namespace": "hom"}, "there is no namespace 'hom'"),
        ({"namespace": "lists"}, "the namespace lists assigns requests"),
        ({"hypothesis": " "}, "it has no hypothesis"),
        ({"owner": ""}, "it has no owner"),
        ({"control": "c"}, "its control 'c' is not a variant"),
        ({"variants": {"a": served(2 * HALF)}}, "it has 1 variant"),
        ({"variants": {"a": served(HALF), "b": served(HALF + 1, "v2")}}, "the shares add up to 100.0001 %"),
        (
            {"variants": {"a": served(HALF), "b": served(HALF - 200, "v2")}},
            "the shares add up to 99.98 %, so 0.02 % of the units would be in no variant",
        ),
        (
            {"variants": {name: flag(333_000, value=name) for name in "abc"}},
            "the shares add up to 99.9 %, so 0.1 % of the units",
        ),
        (
            {"variants": {"b": flag(HALF, value=1), "a": flag(HALF - 1, value=2), "B": flag(1, value=3)}},
            "the variants b and B differ in case alone",
        ),
        ({"variants": {"a": served(0), "b": served(2 * HALF, "v2")}}, "variant a has 0 buckets"),
        ({"variants": {"a": served(HALF), "b c": served(HALF, "v2")}}, "the variant has the name 'b c'"),
        ({"variants": {"a": served(HALF), "b": served(HALF)}}, "all variants have the same version"),
        ({"variants": {"a": served(HALF), "b": flag(HALF)}}, "a have a model, b none"),
        ({"variants": {"a": served(HALF), "b": served(HALF, "v9")}}, "variant b: version v9 is gone"),
        ({"variants": {"a": served(HALF), "b": served(HALF, None)}}, "needs a version or a recipe"),
        (
            {"variants": {"a": served(HALF), "b": served(HALF, "v2", recipe="r")}},
            "needs a version or a recipe, and not both",
        ),
        (
            {"variants": {"a": flag(HALF), "b": flag(HALF, version="v1")}},
            "variant b has no model, but a version, recipe or address",
        ),
        *(
            ({"variants": {"a": flag(HALF), "b": flag(HALF, value=value)}}, "which JSON can't hold")
            for value in (math.nan, [math.inf], {"at": date(2026, 1, 1)}, {1: "a"}, {1, 2}, object())
        ),
        ({"kind": "aa"}, "an A/A experiment compares different versions"),
        (
            {"kind": "aa", "variants": {"a": flag(HALF, value=1), "b": flag(HALF, value=2)}},
            "an A/A experiment compares different values",
        ),
        (
            {"variants": {"a": flag(HALF, value={"x": 1, "y": 2}), "b": flag(HALF, value={"y": 2, "x": 1})}},
            "all variants have the same value",
        ),
        ({"kind": "shadow", "variants": {"a": flag(HALF), "b": flag(HALF)}}, "of kind shadow has no model"),
        (
            {"kind": "interleaving", "variants": {n: served(333_333, f"v{n}") for n in "abc"}},
            "it mixes the lists of 3 variants",
        ),
        ({"primary": "sales"}, "no metric sales"),
        ({"secondary": ("return", "return")}, "the secondary metric return is named twice"),
        ({"secondary": ("reward_per_user",)}, "reward_per_user is primary and secondary"),
        ({"guardrails": (GuardrailDesign("returns", 0.0),)}, "the guardrail returns has the margin 0"),
        ({"guardrails": (GuardrailDesign("returns", float("nan")),)}, "has the margin nan"),
        ({"guardrails": (GuardrailDesign("returns", 0.1),) * 2}, "the guardrail returns is named twice"),
        ({"minimum_effect": 0.0}, "minimum_effect is 0"),
        ({"minimum_effect": float("nan")}, "minimum_effect is nan"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"power": 1.0}, "power is 1"),
        ({"planned_units": 99}, "planned_units is 99"),
        ({"window_days": 0.0}, "window_days is 0"),
        ({"window_days": float("inf")}, "window_days is inf"),
        ({"looks": 0}, "looks is 0"),
        ({"looks": 101}, "looks is 101"),
        ({"claim": 1_000_001}, "claim is 1,000,001"),
        ({"covariate_days": -1}, "covariate_days is -1"),
        ({"winsorize_at": 0.0}, "winsorize_at is 0"),
        ({"step_units": -1}, "step_units is -1"),
        ({"step_hours": -1.0}, "step_hours is -1"),
        ({"targeting": (TargetingRule("country", "in", ()),)}, "it has a rule of targeting on 'country'"),
        ({"targeting": (TargetingRule("age", "at_least", ("x",)),)}, "must be one number"),
        ({"targeting": (TargetingRule("age", "at_least", (math.nan,)),)}, "which a plan can't hold"),
        ({"targeting": (TargetingRule("age", "not_in", (1, math.inf)),)}, "which a plan can't hold"),
        ({"steps": ()}, "its steps are []"),
        ({"steps": (0, 5)}, "its steps are [0, 5]"),
        ({"steps": (50_000, 50_000)}, "its steps are [50000, 50000]"),
        ({"steps": (50_000, 2_000_000)}, "its steps are [50000, 2000000]"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, Any], problem: str) -> None:
    (found,) = faults(**fields)
    assert problem in found


def test_versions_need_a_champion_for_the_other_users() -> None:
    known = KNOWN._replace(has_champion=False)
    (found,) = design_faults(design("x", "v1", "v2"), known)
    assert found.problem.startswith("there is no champion")
    flags = design("x", "v1", "v2", variants={"a": flag(HALF), "b": flag(HALF)})
    assert list(design_faults(flags, known)) == []


def test_all_mistakes_are_said_at_once() -> None:
    wrong = design("x", "v1", "v9", looks=0, alpha=0.0)
    with pytest.raises(TastemakerError, match=r"(?s)version v9 is gone.*alpha is 0.*looks is 0"):
        check_design(wrong, KNOWN)


def test_a_design_file_says_what_the_design_says(tmp_path: Path) -> None:
    rule = TargetingRule("country", "in", ("GB", "FR"))
    mine = design(
        "x", "v1", "v2", targeting=(rule,), steps=(12_345, 1_000_000), claim=333_333,
        guardrails=(GuardrailDesign("returns", 0.02),), winsorize_at=250.0,
    )  # fmt: skip
    path = tmp_path / "x.yaml"
    path.write_text(design_text(mine))
    assert read_design_file(path) == mine


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda text: text.replace("looks: 14", "look: 14"),
            "a design has no 'look'\n  fix: did you mean looks",
        ),
        (lambda text: text.replace("looks: 14", "looks: many"), "Expected `int`, got `str` - at `looks`"),
        *(
            (lambda text, share=share: text.replace("share: 50 %", f"share: {share}"), message)
            for share, message in {
                "half": "the share of a 'half' is not a percentage",
                "50": "the share of a 50 is not a percentage",
                "0.5": "the share of a 0.5 is not a percentage",
                "-5 %": "the share of a '-5 %' is not a percentage",
                ".nan": "the share of a nan is not a percentage",
                "[50 %]": "is not a percentage",
            }.items()
        ),
        (lambda text: text.replace("claim: 100 %", "claim: 100"), "claim 100 is not a percentage"),
        (lambda text: text.replace("- 5 %", "- 5"), "the step 5 is not a percentage"),
        (lambda text: text.replace("primary: reward_per_user\n", ""), "missing required field `primary`"),
        (lambda text: "just words", "holds 'just words', must hold keys"),
        (lambda text: "", "holds None"),
        (lambda text: text + "\n\t- :", "is not valid YAML"),
        (
            lambda text: text.replace("looks: 14", "looks: 2026-09-31"),
            "Expected `int`, got `str` - at `looks`",
        ),
        (lambda text: text.replace("looks: 14", "looks: " + "[" * 500), "is not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, edit: Any, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(edit(design_text(design("x", "v1", "v2"))))
    with pytest.raises(TastemakerError, match=message):
        read_design_file(path)


def test_a_design_survives_the_database() -> None:
    mine = design("x", "v1", "v2", guardrails=(GuardrailDesign("returns", 0.02),))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(mine)), Design) == mine
