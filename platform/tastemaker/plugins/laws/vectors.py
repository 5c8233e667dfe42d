"""Laws of models whose score is a dot product."""

from __future__ import annotations

import numpy as np

from tastemaker.plugins.arrays import NO_ITEM, Batch
from tastemaker.plugins.laws.subject import N_ITEMS, DoesNotApply, Law, LawBroken, Subject

RELATIVE = 1e-3
"""Sums of floats depend on their order."""


def scores_are_dot_products(subject: Subject) -> None:
    """Where `embed` gives a row a vector, the list is that of the greatest dot products, at these scores."""
    if not subject.recommender.capabilities.embeds:
        raise DoesNotApply("it does not embed")
    batch = subject.everyone()
    vectors, items = subject.model.embed(batch), subject.model.item_vectors
    if items.ndim != 2 or len(items) != N_ITEMS or vectors.shape != (len(batch), items.shape[1]):
        raise LawBroken(f"vectors {vectors.shape} for {len(batch)} rows, {items.shape} for the items")
    embedded = np.isfinite(vectors).all(axis=1)
    if not embedded.any() or not np.isnan(vectors[~embedded]).all():
        raise LawBroken("a row is all numbers or all NaN, and some row is all numbers")
    for row in np.flatnonzero(embedded):
        _require_products(subject, batch[np.asarray([row])], items @ vectors[row])


LAWS: tuple[Law, ...] = (scores_are_dot_products,)


def _require_products(subject: Subject, batch: Batch, products: np.ndarray) -> None:
    items, scores, _ = subject.model.recommend(batch, N_ITEMS)
    answered = items[0] != NO_ITEM
    found, scale = scores[0, answered], max(float(np.abs(products).max()), 1e-12)
    expected = products[items[0, answered]]
    if not np.allclose(found, expected, rtol=RELATIVE, atol=RELATIVE * scale):
        worst = int(np.abs(found - expected).argmax())
        raise LawBroken(
            f"user {batch.users[0]}, item {items[0, worst]}: the score is {found[worst]}, "
            f"the dot product {expected[worst]}"
        )
