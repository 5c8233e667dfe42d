"""Purchases for a notebook."""

from __future__ import annotations

import numpy as np
import pandas as pd

N_USERS, N_ITEMS = 30, 12


def purchases(n: int = 600) -> pd.DataFrame:
    """Whole numbers as ids; item i is the likelier, the smaller i is."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, N_USERS, n),
            "item_id": np.minimum(rng.geometric(0.3, n) - 1, N_ITEMS - 1),
            "occurred_at": pd.date_range("2025-01-01", periods=n, freq="2h"),
        }
    )
