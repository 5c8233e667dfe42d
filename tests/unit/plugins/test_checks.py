"""Each check catches a model that breaks it, and lets a sound one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.violating_models import BROKEN, Embeds, Explains, Overconfident, Sound
from tastemaker.plugins import (
    Batch,
    Capabilities,
    Ranking,
    Recommender,
    checks,
    forbid,
)

test_a_sound_model_obeys = checks.parametrize_with_checks(Sound, Embeds, Explains)


@pytest.mark.parametrize(
    ("check", "recommender"), BROKEN, ids=lambda value: getattr(value, "__name__", value)
)
def test_each_check_fails_a_model_that_violates_it(check: str, recommender: type[Recommender[Any]]) -> None:
    verdicts = {result.check: result for result in checks.run_checks(recommender)}
    assert verdicts[check].verdict == "failed"
    assert verdicts[check].detail


def test_every_check_has_a_model_that_fails_it() -> None:
    """Those of learning are broken in a file of their own."""
    others = {check.__name__ for check in checks.learning.CHECKS}
    assert {check for check, _ in BROKEN} == {check.__name__ for check in checks.CHECKS} - others


def test_exemptions_and_checks_that_do_not_apply_are_not_passed_checks() -> None:
    class Exempt(Sound):
        capabilities = Capabilities(exempt={"recommend_is_pure": "it keeps a diary"})

    verdicts = {result.check: result for result in checks.run_checks(Exempt)}
    assert verdicts["recommend_is_pure"] == ("recommend_is_pure", "exempt", "it keeps a diary")
    assert verdicts["checkerboard_is_recovered"].verdict == "exempt"
    assert verdicts["items_are_distinct"] == ("items_are_distinct", "passed", "")


def test_an_exception_fails_the_check_with_its_message() -> None:
    class Raises(Sound):
        def recommend(self, batch: Batch, k: int) -> Ranking:
            raise KeyError("gram")

    verdicts = {result.check: result for result in checks.run_checks(Raises)}
    detail = verdicts["items_are_distinct"].detail
    assert detail.startswith("raised KeyError: 'gram' (")
    assert f"{Path(__file__).name}, line " in detail
    assert detail.endswith('raise KeyError("gram"))')


def test_a_random_policy_with_true_propensities_passes() -> None:
    class Uniform(Overconfident):
        def recommend(self, batch: Batch, k: int) -> Ranking:
            ranking = super().recommend(batch, k)
            scores = np.zeros((len(batch), batch.history.n_items), np.float32)
            forbid(scores, batch)
            allowed = np.isfinite(scores).sum(axis=1, keepdims=True)
            return ranking._replace(propensities=ranking.propensities / np.maximum(allowed, 1))

    verdicts = {result.check: result for result in checks.run_checks(Uniform)}
    assert verdicts["propensities_are_frequencies"].verdict == "passed"
