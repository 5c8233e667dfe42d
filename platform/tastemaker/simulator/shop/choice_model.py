"""How a shopper decides: from what is known of a user and an item to the chances of a cart and a purchase.

    U(u, i) = β·ln(θ_u·q_i / E[θ_u·q]) - γ·ln(price_i / usual price of its category)
    P(cart | look) = σ(a + U)          P(purchase | cart) = σ(b + U / 2)

the binary logit of McFadden, "Conditional Logit Analysis of Qualitative Choice Behavior" (1974). Which items
are looked at has no place here: that is `Shop.view_probabilities`, or a recommender's doing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]

TASTE_WEIGHT = 0.6
"""β"""
PRICE_WEIGHT = 0.7
"""γ"""
CART_INTERCEPT = float(logit(0.10))
"""a: an ordinary item at the usual price is put into the cart by one in ten of those who look."""
PURCHASE_INTERCEPT = float(logit(0.40))
"""b: four carts in ten are paid for."""


class ChoiceProbabilities(NamedTuple):
    """The conditional probabilities of the steps after a look at an item."""

    cart: Floats
    """P(cart | look)"""
    purchase: Floats
    """P(purchase | cart)"""


def utility(affinity: Floats, price_ratio: Floats) -> Floats:
    """Return the utility U(u, i) of pairs of a user and an item.

    Args:
        affinity: θ_u·q_i / E[θ_u·q]. Values below 0.01 count as 0.01, so that U is finite.
        price_ratio: The item's price / the usual price of its category.

    Returns:
        float64, of the shape of the arguments.
    """
    return TASTE_WEIGHT * np.log(np.maximum(affinity, 0.01)) - PRICE_WEIGHT * np.log(price_ratio)


def chances(u: Floats) -> ChoiceProbabilities:
    """Return the probabilities of a cart and of a purchase after a look.

    Args:
        u: The utilities; the results have the same shape.
    """
    return ChoiceProbabilities(expit(CART_INTERCEPT + u), expit(PURCHASE_INTERCEPT + u / 2))
