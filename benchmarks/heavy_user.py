"""What one user with a hundred thousand items costs each model: a robot, a reseller, a test account.

    python benchmarks/heavy_user.py                        # all installed models, 100,000 items
    python benchmarks/heavy_user.py --model item_knn       # one of them; may be repeated

A shop of 5,000 users with 20 events each, alone and with one more user who has half of the catalogue, then
all of it. If a user costs no more than their events, the second step costs as much again as the first, or
nothing where a cap is reached. Everything runs on one thread. Read the ratios: seconds are this machine's.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tastemaker.plugins import TrainingData
    from tastemaker.plugins.discovery import Plugin

os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

import numpy as np

N_ITEMS, N_USERS, EVENTS_EACH = 100_000, 5_000, 20
SMOKE_ITEMS, SMOKE_USERS, SMOKE_CAP = 2_000, 100, 200
DAY = 86_400


def shop(plugin: Plugin, heavy: int, smoke: bool) -> TrainingData:
    """Return the training data of ordinary users and of user 0 with `heavy` distinct items, in 100 days."""
    from tastemaker.plugins import Events, TrainingData
    from tastemaker.plugins.checks.subject import MadeUpFeatures

    rng = np.random.default_rng(0)
    n_items, n_users = (SMOKE_ITEMS, SMOKE_USERS) if smoke else (N_ITEMS, N_USERS)
    users = np.concatenate([np.repeat(np.arange(1, n_users + 1), EVENTS_EACH), np.zeros(heavy, np.int64)])
    popular = np.floor(n_items * rng.random(n_users * EVENTS_EACH) ** 3)
    items = np.concatenate([popular, rng.permutation(n_items)[:heavy]])
    order, times = rng.permutation(len(users)), np.sort(rng.integers(0, 100 * DAY, len(users)))
    events = Events(
        users[order].astype(np.int32), items[order].astype(np.int32), np.ones(len(users), np.float32), times
    )
    features = MadeUpFeatures(plugin.recommender, n_users + 1, n_items)
    return TrainingData(events, n_users + 1, n_items, end=101 * DAY, features=features)


def request_of(plugin: Plugin, data: TrainingData) -> Any:
    """Return user 0's next request."""
    from tastemaker.plugins import Batch

    users, features = np.zeros(1, np.int32), data.features
    assert features is not None
    return Batch(
        users,
        data.history[users],
        np.ones(1, np.uint64),
        now=data.end,
        user_features=features.users(data.end)[users],
        item_features=features.items(data.end),
    )


def measure(plugin: Plugin, heavy: int, smoke: bool) -> tuple[float, float]:
    """Return the seconds of the fit, and the milliseconds of user 0's list of 10: the fastest of 3."""
    data = shop(plugin, heavy, smoke)
    kind = plugin.recommender
    capped = smoke and "max_user_items" in kind.config_type.model_fields
    model = kind(**({"max_user_items": SMOKE_CAP} if capped else {}))
    _ = data.history  # counted once, for all models
    start = time.perf_counter()
    model.fit(replace(data, rng=np.random.default_rng(0)).with_history(data.history))
    fit_seconds = time.perf_counter() - start
    request, took = request_of(plugin, data), []
    for _ in range(3):
        start = time.perf_counter()
        model.recommend(request, 10)
        took.append(time.perf_counter() - start)
    return fit_seconds, min(took) * 1e3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", "models", multiple=True, help="Only this one; may be repeated.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(models: tuple[str, ...], smoke: bool) -> None:
    """Seconds of a fit and milliseconds of a request, without and with one user of 100,000 items."""
    from tastemaker.errors import PluginError
    from tastemaker.plugins import discovery

    most = SMOKE_ITEMS if smoke else N_ITEMS
    counts = (0, most // 2, most)
    head = "".join(f"{f'{count:,} items':>24}" for count in counts)
    print(f"{'the heaviest user has':24}{head}")
    for name in models or discovery.find().names:
        plugin, cells = discovery.get(name), []
        for heavy in counts:
            try:
                seconds, milliseconds = measure(plugin, heavy, smoke)
            except PluginError as refusal:
                cells = [f"  refuses: {refusal.problem}"]
                break
            cells.append(f"{seconds:12.2f} s {milliseconds:6.1f} ms")
        print(f"{name:24}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
