"""The registry of product metrics: complete, and strict about what a definition must say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.product.definitions import DEFINITIONS, get, is_foreign

ENGAGEMENT = {
    "requests", "impressions", "users", "ctr_impression", "ctr_list", "reward_per_request",
    "rewarded_events_per_1000_lists", "hours_to_first_click", "ctr_by_position", "lists_per_user_day",
    "model_answer_share", "fallback_share", "empty_share", "p99_ms",
}  # fmt: skip
RETENTION = {
    "retention_day_1", "retention_day_7", "retention_day_28", "retention_days_1_7", "retention_days_8_14",
    "retention_days_15_28", "retention_unbounded_28", "retention_week",
}  # fmt: skip
GROWTH = {
    "dau", "wau", "mau", "stickiness", "new_users_28", "retained_users_28", "resurrected_users_28",
    "lost_users_28", "churn_28", "resurrection_28", "days_between_visits",
}  # fmt: skip
CATALOGUE = {"catalogue_coverage", "top_1_percent_share", "new_item_share", "exposure_share"}
SLICED = {
    "rewarded_events_per_1000_lists": "event_type",
    "ctr_by_position": "position",
    "retention_week": "week",
    "exposure_share": "category",
}


def test_every_metric_has_a_definition_under_its_name() -> None:
    assert set(DEFINITIONS) == ENGAGEMENT | RETENTION | GROWTH | CATALOGUE
    assert all(get(name).name == name for name in DEFINITIONS)
    assert {one.name: one.slice for one in DEFINITIONS.values() if one.slice} == SLICED


def test_titles_and_sentences_differ() -> None:
    for field in ("title", "words"):
        texts = [getattr(one, field) for one in DEFINITIONS.values()]
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Ctr"},
        {"name": "x_ctr"},
        {"title": " "},
        {"words": "no full stop"},
        {"does_not_say": ""},
        {"formula": ""},
        {"unit": "percent"},
        {"direction": "left"},
        {"page": "nowhere"},
    ],
)
def test_an_incomplete_definition_is_refused_by_name(wrong: dict[str, Any]) -> None:
    (field,) = wrong
    with pytest.raises(
        TastemakerError, match="name of a metric" if field == "name" else rf"ctr_list\.{field}"
    ):
        replace(get("ctr_list"), **wrong)


def test_unknown_and_foreign_names() -> None:
    with pytest.raises(TastemakerError, match="did you mean stickiness"):
        get("stickyness")
    with pytest.raises(TastemakerError, match="only its reporter"):
        get("x_dwell_seconds")
    assert is_foreign("x_dwell_seconds")
    assert not is_foreign("ctr_list")
