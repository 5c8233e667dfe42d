"""Each check of learning catches a model that breaks it, and lets a sound learner pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    Feedback,
    Ranking,
    Recommender,
    TrainingData,
    select,
)
from tastemaker.plugins.checks import CHECKS, learning, parametrize_with_checks, run_check
from tastemaker.plugins.checks.subject import Subject


class NoConfig(Config):
    """No hyperparameters."""


class Counts(Recommender[NoConfig]):
    """s_i = the rewards of item i, of training and of feedback, less a tenth of how often it was shown."""

    name = "counts"
    reference = "none"
    config_type = NoConfig
    capabilities = Capabilities(learns_online=True, order_independent=True)
    state: ClassVar[tuple[str, ...]] = ("sums",)

    def fit(self, data: TrainingData) -> Self:
        sums = np.bincount(data.events.items, weights=data.events.rewards, minlength=data.n_items)
        self.sums = sums.astype(np.float64)
        return self

    def update(self, feedback: Feedback) -> Self:
        known = feedback.items >= 0
        np.add.at(self.sums, feedback.items[known], feedback.rewards[known] - 0.1)
        return self

    @classmethod
    def load(cls, folder: Path, config: NoConfig) -> Self:
        model = super().load(folder, config)
        model.sums = model.sums.copy()
        return model

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.sums.astype(np.float32), (len(batch), 1)), batch, k)


class DropsFeedback(Counts):
    capabilities = Capabilities()

    def update(self, feedback: Feedback) -> Self:
        return self


class WritesToFeedback(Counts):
    def update(self, feedback: Feedback) -> Self:
        super().update(feedback)
        feedback.rewards[:] = 0
        return self


class LearnsIntoItsArtifact(Counts):
    @classmethod
    def load(cls, folder: Path, config: NoConfig) -> Self:
        model = cls(config)
        model.sums = np.load(folder / "sums.npy", mmap_mode="r+")
        return model


class SharesItsSums(Counts):
    shared: ClassVar[Any] = None

    def fit(self, data: TrainingData) -> Self:
        fresh = super().fit(data).sums
        if type(self).shared is None:
            type(self).shared = fresh
        self.sums = type(self).shared
        return self


class LearnsFromTheUnknown(Counts):
    def update(self, feedback: Feedback) -> Self:
        np.add.at(self.sums, feedback.items, feedback.rewards - 0.1)
        return self


class LearnsOncePerBatch(Counts):
    def update(self, feedback: Feedback) -> Self:
        known = feedback.items >= 0
        self.sums[feedback.items[known]] += feedback.rewards[known] - 0.1
        return self


class LearnsWhenAsked(Counts):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        self.sums[ranking.items[ranking.items >= 0]] -= 1
        return ranking


class ForgetsFeedbackWhenSaved(Counts):
    def fit(self, data: TrainingData) -> Self:
        super().fit(data)
        self.fitted = self.sums.copy()
        return self

    def save(self, folder: Path) -> None:
        np.save(folder / "sums.npy", self.fitted)


class LastComesFirst(Counts):
    def update(self, feedback: Feedback) -> Self:
        for item, reward in zip(feedback.items.tolist(), feedback.rewards.tolist(), strict=True):
            if item >= 0:
                self.sums *= 0.99
                self.sums[item] += reward - 0.1
        return self


class Deaf(Counts):
    def update(self, feedback: Feedback) -> Self:
        return self


class AddsFitToFit(Counts):
    def fit(self, data: TrainingData) -> Self:
        before = getattr(self, "sums", None)
        super().fit(data)
        if before is not None:
            self.sums += before
        return self


BROKEN: list[tuple[str, type[Recommender[Any]]]] = [
    ("update_is_refused_unless_claimed", DropsFeedback),
    ("update_leaves_its_input_alone", WritesToFeedback),
    ("update_touches_one_model", LearnsIntoItsArtifact),
    ("update_touches_one_model", SharesItsSums),
    ("no_feedback_changes_nothing", LearnsFromTheUnknown),
    ("update_batch_is_one_by_one", LearnsOncePerBatch),
    ("recommend_does_not_learn", LearnsWhenAsked),
    ("snapshot_and_replay_lose_nothing", ForgetsFeedbackWhenSaved),
    ("replicas_converge", LastComesFirst),
    ("feedback_moves_items", Deaf),
    ("refit_forgets_feedback", AddsFitToFit),
]
CHECK = {check.__name__: check for check in CHECKS}

test_a_sound_learner_obeys = parametrize_with_checks(Counts)


@pytest.mark.parametrize(
    ("check", "recommender"), BROKEN, ids=lambda value: getattr(value, "__name__", value)
)
def test_each_check_fails_a_model_that_violates_it(check: str, recommender: type[Recommender[Any]]) -> None:
    verdict = run_check(CHECK[check], Subject(recommender))
    assert verdict.verdict == "failed"
    assert verdict.detail


def test_every_check_of_learning_has_a_model_that_fails_it() -> None:
    assert {check for check, _ in BROKEN} == {check.__name__ for check in learning.CHECKS}
