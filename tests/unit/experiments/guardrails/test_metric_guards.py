"""Guardrails of a design: which there are, and that their error rates add up to one per cent."""

from __future__ import annotations

from typing import Any

import pytest

from tastemaker.experiments.design import Design, GuardrailDesign, VariantDesign
from tastemaker.experiments.guardrails.metric_guards import ALPHA, metric_guards
from tastemaker.experiments.serving_margins import SERVING_MARGINS


def upward(metric: str) -> bool:
    return metric != "leavers_share"


def design(
    variants: int = 2, model: str | None = "ials", version: str | None = "v1", **changed: Any
) -> Design:
    its = VariantDesign(share=1_000_000 // variants, model=model, version=version)
    shares = dict.fromkeys("abcdef"[:variants], its)
    given: dict[str, Any] = {
        "name": "ranker", "namespace": "home", "owner": "o", "hypothesis": "h", "control": "a",
        "variants": shares, "primary": "reward_per_user", "minimum_effect": 0.02, "planned_units": 100_000,
        "window_days": 7.0,
    } | changed  # fmt: skip
    return Design(**given)


@pytest.mark.parametrize("variants", [2, 3, 5])
@pytest.mark.parametrize("model", ["ials", None], ids=["services", "flags"])
def test_error_rates_add_up_to_at_most_the_experiments(variants: int, model: str | None) -> None:
    more = (GuardrailDesign("ctr_list", 0.1), GuardrailDesign("fallback_share", 0.03))
    found = [metric_guards(design(variants, model, guardrails=more), epoch, upward) for epoch in range(2_000)]
    assert list(found[0]) == list("abcdef"[1:variants])
    for family in ("serving", "reward"):
        total = sum(
            one.alpha
            for epoch in found
            for guards in epoch.values()
            for one in guards
            if one.family == family
        )
        assert total == pytest.approx(ALPHA / 2 if model or family == "reward" else 0.0, rel=1e-3)
        assert total <= ALPHA / 2


def test_metrics_margins_and_directions() -> None:
    more = (GuardrailDesign("leavers_share", 0.2), GuardrailDesign("slow_share", 0.5))
    (guards,) = metric_guards(design(guardrails=more), 0, upward).values()
    assert {(one.metric, one.margin, one.is_higher_better) for one in guards} == {
        *((name, margin, False) for name, margin in (SERVING_MARGINS | {"slow_share": 0.5}).items()),
        ("leavers_share", 0.2, False),
        ("reward_per_user", 0.05, True),
    }


def test_flags_of_the_shops_own_code_have_no_guardrails_of_the_service() -> None:
    (guards,) = metric_guards(design(model=None), 0, upward).values()
    assert [one.metric for one in guards] == ["reward_per_user"]


def test_the_version_is_guarded_only_where_it_is_fixed() -> None:
    (guards,) = metric_guards(design(version=None), 0, upward).values()
    assert "wrong_version_share" not in [one.metric for one in guards]
    assert "fallback_share" in [one.metric for one in guards]


def test_sequences_are_tuned_to_the_first_steps_units() -> None:
    (guards,) = metric_guards(design(), 0, upward).values()
    assert {one.tuned_at for one in guards} == {500 * 500 / 1_000}
    (guards,) = metric_guards(design(planned_units=1_000), 0, upward).values()
    assert {one.tuned_at for one in guards} == {25.0}  # at least 50 units of each
