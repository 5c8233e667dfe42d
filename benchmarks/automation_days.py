"""Thirty days of a changing shop under each policy, over several seeds, and their picture."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import automation_model
import numpy as np
from automation_policies import PATHS, POLICIES, Home
from automation_shop import Calendar, ChangingShop, Size
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]
FIX_DAYS = 7
"""How many days after the bad release its fix is installed."""


class Played(NamedTuple):
    """What became of one seed."""

    calendar: Calendar
    clicks: dict[str, Floats]
    """Policy -> expected clicks per list by day, float64[days]."""
    best: Floats
    """Expected clicks per list of who knows all tastes, float64[days]."""
    versions: dict[str, int]
    """Policy -> number of versions of all models that were trained."""
    rollouts: dict[str, dict[str, int]]
    """Policy -> state at the end -> number of rollouts."""


def play(seed: int, size: Size, path: str = "rollout") -> Played:
    """Let each policy keep a model in service through the days of a seed's shop.

    Args:
        seed: The seed.
        size: The size of the shop.
        path: How versions of the automated policy enter production: one of PATHS.
    """
    warnings.simplefilter("ignore")
    shop = ChangingShop(seed, size)
    with tempfile.TemporaryDirectory(prefix="tastemaker-automation-") as folder:
        root = Path(folder)
        first = Home(root / "first", root / "events.parquet")
        _deliver(shop, 0, root)
        first.run()
        policies = [
            one(first.copy(root / one.__name__, PATHS[path if one is POLICIES[-1] else "offline"]))
            for one in POLICIES
        ]
        clicks: dict[str, list[float]] = {one.name: [] for one in policies}
        for night in range(size.days):
            if night > 0:
                _deliver(shop, night, root)
            for policy in policies:
                if night > 0:
                    policy.after(night)
                clicks[policy.name].append(policy.serve(shop, night))
        return Played(
            shop.calendar,
            {name: np.array(values) for name, values in clicks.items()},
            np.array([shop.best(night) for night in range(size.days)]),
            {one.name: len(one.home.versions()) for one in policies},
            {one.name: one.home.rollouts() for one in policies},
        )


def _deliver(shop: ChangingShop, night: int, root: Path) -> None:
    """Write what upstream has after a night's days, and install the release of the day before."""
    bad = shop.calendar.bad_release
    releases = {0: "1.0", bad: "1.1", bad + FIX_DAYS: "1.2"}
    if night in releases:
        automation_model.install(releases[night], root / "releases")
    shop.deliver(night, root / "events.parquet")


def play_all(
    seeds: Sequence[int], size: Size, path: str = "rollout", workers: int | None = None
) -> Iterator[Played]:
    """Yield what became of each seed, in their order.

    Args:
        seeds: The seeds.
        size: The size of the shops.
        path: As in `play`.
        workers: The number of processes; 0: this one; None: one per processor.
    """
    if workers == 0:
        yield from (play(seed, size, path) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        yield from pool.map(partial(play, size=size, path=path), seeds)


def interval(values: Floats) -> tuple[float, float]:
    """Return the mean over seeds and half the width of its 95 % interval, by Student's t."""
    n = len(values)
    return float(values.mean()), float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))


def differences(played: Sequence[Played], other: str, automated: str = POLICIES[-1].name) -> Floats:
    """Return the mean daily difference in clicks per list of the automated policy from another, by seed."""
    return np.array([(one.clicks[automated] - one.clicks[other]).mean() for one in played])


def draw(played: Sequence[Played], out: Path) -> None:
    """Draw the clicks of each policy by day, and what the automated one is ahead by so far."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 8), sharex=True, layout="constrained", height_ratios=(3, 2)
    )
    shares = {name: np.stack([one.clicks[name] / one.best for one in played]) for name in played[0].clicks}
    for name, values in shares.items():
        _band(above, values, name)
    automated = shares[POLICIES[-1].name]
    for name, values in list(shares.items())[:-1]:
        _band(below, np.cumsum(automated - values, axis=1), f"automated − {name}")
    below.axhline(0, color="black", linewidth=0.8)
    above.set(ylabel="clicks, as a share of the best possible", ylim=(0, 1))
    below.set(ylabel="ahead so far, in days of the best possible", xlabel="simulated day")
    for axes in (above, below):
        axes.legend(loc="lower left" if axes is above else "upper left")
        axes.grid(alpha=0.3)
    figure.suptitle(
        f"{len(played)} simulated shops: half of the users change tastes on a day, another day comes "
        "late,\nthe rows of a third are invalid, and a release of the model is worse than its backtest. "
        "Mean and 95 % interval",
        fontsize=11,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
    plt.close(figure)


def _band(axes: object, values: Floats, label: str) -> None:
    days = np.arange(1, values.shape[1] + 1)
    mean, half = np.array([interval(values[:, day - 1]) for day in days]).T
    (line,) = axes.plot(days, mean, label=label)  # type: ignore[attr-defined]
    axes.fill_between(days, mean - half, mean + half, color=line.get_color(), alpha=0.2, linewidth=0)  # type: ignore[attr-defined]
