"""How a person answers a list: what is examined, clicked and bought, and who does not come back.

    P(examined at place p) = (1 + p)^-η                      p from 0
    odds(click | examined) = ω · θ_u·q_i / E[θ_u·q]
    P(leaves for good | n clicks) = λ · δ^n

The position-based model of Richardson, Dominowska and Ragno, "Predicting Clicks" (WWW 2007): a click needs an
examination, which depends on the place alone, and an attraction, which depends on the item alone. From the
click on, `choice` decides about cart and purchase, as for the events that the shop starts with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXAMINATION_DECAY = 0.7
"""η: of ten places about four are examined, as many as a visit of the shop has looks."""
CLICK_ODDS = 1 / 9
"""ω: of ordinary items that are examined, one in ten is clicked."""
LEAVE_CHANCE = 0.06
"""λ: of those who found nothing to click, these leave for good."""
LEAVE_DECAY = 0.35
"""δ: each click makes leaving this much rarer."""


def examination(k: int) -> Floats:
    """Return P(examined) by place, float64[k]."""
    return np.asarray((1.0 + np.arange(k)) ** -EXAMINATION_DECAY)


def click_chances(affinity: Floats) -> Floats:
    """Return P(click | examined), in the shape of `affinity`.

    Args:
        affinity: θ_u·q_i / E[θ_u·q]. Values below 0.01 count as 0.01.
    """
    odds = CLICK_ODDS * np.maximum(affinity, 0.01)
    return odds / (1 + odds)


def leave_chance(clicks: int) -> float:
    """Return the probability that a user leaves for good after a visit with so many clicks."""
    return float(LEAVE_CHANCE * LEAVE_DECAY**clicks)
