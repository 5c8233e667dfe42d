"""Checks of `update`: what it may change, and what a restart or a second replica must reproduce."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tastemaker.errors import PluginError
from tastemaker.plugins.checks.compare import copies, require_same, require_untouched
from tastemaker.plugins.checks.subject import (
    DAY_SECONDS,
    DAYS,
    N_ITEMS,
    START,
    Check,
    CheckFailed,
    DoesNotApply,
    Subject,
    shop_feedback,
)
from tastemaker.plugins.recommender import Recommender
from tastemaker.plugins.training_data import Feedback

K = 5
ROWS = 200


def update_is_refused_unless_claimed(subject: Subject) -> None:
    """Check that `update` of a model that does not learn online raises PluginError.

    Feedback must not be dropped silently.
    """
    if subject.recommender.capabilities.learns_online:
        raise DoesNotApply("it learns online")
    try:
        subject.recommender().fit(subject.data()).update(shop_feedback())
    except PluginError:
        return
    raise CheckFailed("it does not declare that it learns online, but `update` raised no PluginError")


def _online(check: Check) -> Check:
    """Restrict a check to models that learn online."""

    @wraps(check)
    def for_learners(subject: Subject) -> None:
        if not subject.recommender.capabilities.learns_online:
            raise DoesNotApply("it does not learn online")
        check(subject)

    return for_learners


@_online
def update_leaves_its_input_alone(subject: Subject) -> None:
    """Check that `update` does not write to its input."""
    feedback = shop_feedback()
    before = copies(feedback)
    _fitted(subject).update(feedback)
    require_untouched(feedback, before, "update")


@_online
def update_touches_one_model(subject: Subject) -> None:
    """Check that `update` changes neither other models fitted on the same data nor the artifact's files."""
    data = subject.data()
    learner, bystander = subject.recommender().fit(data), subject.recommender().fit(data)
    batch = subject.all_users()
    before = bystander.recommend(batch, K)
    with TemporaryDirectory() as folder:
        bystander.save(Path(folder))
        files = {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}
        loaded = subject.recommender.load(Path(folder), bystander.config)
        for model in (learner, loaded):
            model.update(shop_feedback())
        changed = [path.name for path, content in files.items() if path.read_bytes() != content]
    if changed:
        raise CheckFailed(f"update wrote to the artifact: {', '.join(changed)}")
    require_same(before, bystander.recommend(batch, K), "a model beside one that learned")
    _require_same_answers(subject, learner, loaded, "fitted, and loaded, after the same feedback")


@_online
def no_feedback_changes_nothing(subject: Subject) -> None:
    """Check that neither an empty batch of feedback nor feedback about unknown items changes a list."""
    feedback = shop_feedback()
    unknown = Feedback(
        feedback.users,
        np.full_like(feedback.items, -1),
        feedback.positions,
        feedback.rewards,
        feedback.propensities,
        feedback.times,
    )
    learned = _fitted(subject).update(feedback[:0]).update(unknown)
    _require_same_answers(subject, learned, _fitted(subject), "after no feedback")


@_online
def update_batch_is_one_by_one(subject: Subject) -> None:
    """Check that feedback in one batch, in slices and row by row gives the same model."""
    feedback = shop_feedback(n=ROWS)
    at_once = _fitted(subject).update(feedback)
    one_by_one, sliced = _fitted(subject), _fitted(subject)
    for row in range(len(feedback)):
        one_by_one.update(feedback[row : row + 1])
    for start in range(0, len(feedback), 60):
        sliced.update(feedback[start : start + 60])
    _require_same_answers(subject, at_once, one_by_one, "one batch and one by one")
    _require_same_answers(subject, at_once, sliced, "one batch and slices")


@_online
def recommend_does_not_learn(subject: Subject) -> None:
    """Check that requests between updates do not change what the model learns."""
    feedback = shop_feedback(n=ROWS)
    asked = _fitted(subject)
    asked.recommend(subject.all_users(), K)
    asked.update(feedback[:100])
    asked.recommend(subject.all_users(), K)
    asked.update(feedback[100:])
    quiet = _fitted(subject).update(feedback[:100]).update(feedback[100:])
    _require_same_answers(subject, asked, quiet, "asked between updates, and not")


@_online
def snapshot_and_replay_lose_nothing(subject: Subject) -> None:
    """Check that a model saved half-way, loaded and updated with the rest equals one that never stopped."""
    feedback = shop_feedback()
    half = len(feedback) // 2
    running = _fitted(subject).update(feedback[:half])
    with TemporaryDirectory() as folder:
        running.save(Path(folder))
        restarted = subject.recommender.load(Path(folder), running.config)
        _require_same_answers(subject, running, restarted, "saved and loaded after feedback")
        running.update(feedback[half:])
        restarted.update(feedback[half:])
    _require_same_answers(subject, running, restarted, "after a restart from a snapshot")


@_online
def replicas_converge(subject: Subject) -> None:
    """Check that replicas that get the same feedback in different orders recommend the same afterwards."""
    if not subject.recommender.capabilities.order_independent:
        raise DoesNotApply("it depends on the order of feedback: replicas must replay one log in one order")
    feedback = shop_feedback()
    shuffled = feedback[np.random.default_rng(12).permutation(len(feedback))]
    one, other, backwards = _fitted(subject), _fitted(subject), _fitted(subject)
    one.update(feedback)
    for start in range(0, len(feedback), 7):
        other.update(shuffled[start : start + 7])
        backwards.update(feedback[::-1][start : start + 7])
    _require_same_answers(subject, one, other, "the same feedback, shuffled")
    _require_same_answers(subject, one, backwards, "the same feedback, backwards")


@_online
def feedback_moves_items(subject: Subject) -> None:
    """Check that of two items shown equally often, the always rewarded one rises and the other falls.

    Each is shown a thousand times; the other is never rewarded.
    """
    n, pleases, bores = 2000, 17, 0
    items = np.resize(np.array([pleases, bores], np.int32), n)
    feedback = Feedback(
        users=np.zeros(n, np.int32),
        items=items,
        positions=np.zeros(n, np.int32),
        rewards=(items == pleases).astype(np.float32),
        propensities=np.full(n, 0.5, np.float32),
        times=START + DAYS * DAY_SECONDS + np.arange(n, dtype=np.int64),
    )
    model, batch = _fitted(subject), subject.all_users()
    before = model.recommend(batch, N_ITEMS).items
    after = model.update(feedback).recommend(batch, N_ITEMS).items
    rise, fall = (
        np.nonzero(before == item)[1].mean() - np.nonzero(after == item)[1].mean()
        for item in (pleases, bores)
    )
    if not (rise > 0 and fall < 0):
        raise CheckFailed(
            f"item {pleases} was rewarded and rose by {rise} places, {bores} was not and fell by {-fall}"
        )


@_online
def refit_forgets_feedback(subject: Subject) -> None:
    """Check that `fit` after `update` discards what was learned from feedback."""
    again = _fitted(subject).update(shop_feedback()).fit(subject.data())
    _require_same_answers(subject, again, _fitted(subject), "fitted again after feedback")


CHECKS: tuple[Check, ...] = (
    update_is_refused_unless_claimed,
    update_leaves_its_input_alone,
    update_touches_one_model,
    no_feedback_changes_nothing,
    update_batch_is_one_by_one,
    recommend_does_not_learn,
    snapshot_and_replay_lose_nothing,
    replicas_converge,
    feedback_moves_items,
    refit_forgets_feedback,
)


def _fitted(subject: Subject) -> Recommender[Any]:
    """Fit a model for one check: `subject.model` is shared and must not learn."""
    return subject.recommender().fit(subject.data())


def _require_same_answers(
    subject: Subject, one: Recommender[Any], other: Recommender[Any], what: str
) -> None:
    batch = subject.all_users()
    require_same(one.recommend(batch, K), other.recommend(batch, K), what)
