"""Checks of `embed` and `contributions`: scores are dot products, or sums of parts."""

from __future__ import annotations

import numpy as np

from tastemaker.plugins.arrays import NO_ITEM, Batch
from tastemaker.plugins.checks.subject import N_ITEMS, N_USERS, Check, CheckFailed, DoesNotApply, Subject

K = 5
RELATIVE = 1e-3
"""Sums of floats depend on their order."""


def scores_are_dot_products(subject: Subject) -> None:
    """Check that scores are dot products with the item vectors, where `embed` returns a vector for a row."""
    if not subject.recommender.capabilities.embeds:
        raise DoesNotApply("it does not embed")
    batch = subject.all_users()
    vectors, items = subject.model.embed(batch), subject.model.item_vectors
    if items.ndim != 2 or len(items) != N_ITEMS or vectors.shape != (len(batch), items.shape[1]):
        raise CheckFailed(f"vectors {vectors.shape} for {len(batch)} rows, {items.shape} for the items")
    embedded = np.isfinite(vectors).all(axis=1)
    if not embedded.any() or not np.isnan(vectors[~embedded]).all():
        raise CheckFailed("a row must be all numbers or all NaN, and some row must be all numbers")
    for row in np.flatnonzero(embedded):
        _require_products(subject, batch[np.asarray([row])], items @ vectors[row])


def contributions_add_up(subject: Subject) -> None:
    """Check that the parts of each item's score sum to it, up to one constant per row."""
    explained = False
    for row in range(N_USERS):
        batch = subject.all_users()[row : row + 1]
        items, scores, _ = subject.model.recommend(batch, K)
        table = subject.model.contributions(batch, items[0])
        if table is None:
            raise DoesNotApply("it does not explain its scores")
        if table.values.shape != (K, len(table.names)):
            raise CheckFailed(f"{K} items have contributions of shape {table.values.shape}")
        made = np.isfinite(table.values).all(axis=1)
        rest = scores[0, made] - table.values[made].sum(axis=1)
        scale = max(float(np.abs(table.values[made]).sum(axis=1).max(initial=0)), 1e-12)
        if len(rest) and float(np.ptp(rest)) > RELATIVE * scale:
            raise CheckFailed(
                f"user {batch.users[0]}: scores less their parts are {rest.tolist()}, not equal"
            )
        explained |= bool(made.any())
    if not explained:
        raise CheckFailed("all contributions are NaN; return None instead")


CHECKS: tuple[Check, ...] = (scores_are_dot_products, contributions_add_up)


def _require_products(subject: Subject, batch: Batch, products: np.ndarray) -> None:
    items, scores, _ = subject.model.recommend(batch, N_ITEMS)
    answered = items[0] != NO_ITEM
    found, scale = scores[0, answered], max(float(np.abs(products).max()), 1e-12)
    expected = products[items[0, answered]]
    if not np.allclose(found, expected, rtol=RELATIVE, atol=RELATIVE * scale):
        worst = int(np.abs(found - expected).argmax())
        raise CheckFailed(
            f"user {batch.users[0]}, item {items[0, worst]}: the score is {found[worst]}, "
            f"the dot product {expected[worst]}"
        )
