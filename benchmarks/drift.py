"""How often the drift report raises a false alarm, and how soon it finds a change of a simulated shop.

    python benchmarks/drift.py                   # 30 healthy days; then each kind of shift, on day 3 of 6
    python benchmarks/drift.py --plot drift.png  # and the distances as shares of their thresholds, by day

Each night the day's events land, a report is made on the version that answered the day, and the model is
trained again. The shop has 2,800 users and about 210 requests a day.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}

if TYPE_CHECKING:
    from tastemaker.simulator.shop.shifts import ShiftKind

LEARNED_DAYS, SHIFT_AFTER_DAYS = 70, 2
SIZES: dict[ShiftKind, float] = {"price": 0.3, "catalogue": 0.3, "audience": 0.3, "taste": 0.5}
SMOKE: dict[str, Any] = {"n_users": 600, "n_items": 200, "events_per_day": 900}


class Night(NamedTuple):
    """The columns of one night's report, and the seconds that the report and the training took."""

    columns: list[dict[str, Any]]
    verdict: str
    seconds: float


def nights(model: str, days: int, kind: ShiftKind | None, seed: int, smoke: bool) -> list[Night]:
    """Return the reports of a shop's days; a shift begins after SHIFT_AFTER_DAYS of them."""
    from support.drift_worlds import DriftWorld
    from tastemaker.simulator.shop.shifts import Shift

    learned = 43 if smoke else LEARNED_DAYS
    shifts = [] if kind is None else [Shift(kind=kind, day=learned + SHIFT_AFTER_DAYS, size=SIZES[kind])]
    with tempfile.TemporaryDirectory() as folder:
        options = SMOKE if smoke else {}
        world = DriftWorld(
            Path(folder), model=model, learned_days=learned, days=days, shifts=shifts, seed=seed, **options
        )
        found = []
        for _ in range(days):
            begun = time.perf_counter()
            summary = world.night().summary
            found.append(Night(summary["columns"], summary["verdict"], time.perf_counter() - begun))
    return found


def alarms(night: Night) -> set[tuple[str, str]]:
    """Return side and column of each alarm."""
    return {(one["side"], one["column"]) for one in night.columns if one["alarm"]}


def show_healthy(found: list[Night]) -> None:
    """Print the share of columns that raised an alarm, and of pairs of nights in which one did twice."""
    compared = sum(one["threshold"] is not None for night in found for one in night.columns)
    raised = sum(len(alarms(night)) for night in found)
    twice = sum(len(alarms(one) & alarms(other)) for one, other in pairwise(found))
    print(f"healthy, {len(found)} days: {raised} alarms of {compared} compared columns", end="")
    print(f" ({raised / compared:.2%}; 1 in 20 is 5 %); {twice} on two nights in a row")
    print(f"  a night takes {sum(night.seconds for night in found) / len(found):.1f} s, training included")
    for day, night in enumerate(found):
        if alarms(night):
            print(f"  day {day + 1}: {night.verdict}")


def show_shift(kind: ShiftKind, found: list[Night]) -> None:
    """Print on which day of the shift it was found, and what the report said."""
    after = found[SHIFT_AFTER_DAYS:]
    days = [day + 1 for day, night in enumerate(after) if alarms(night)]
    size = SIZES[kind]
    if not days:
        print(f"{kind} ({size:.0%}): not found in {len(after)} days")
        return
    print(f"{kind} ({size:.0%}): found on day {days[0]} of it; alarms on {len(days)} of {len(after)} days")
    print(f"  {after[days[0] - 1].verdict}")


def draw(by_kind: dict[str, list[Night]], path: Path) -> None:
    """Draw each column's distance as a share of its threshold, by day, a panel per kind."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        len(by_kind), 1, figsize=(9, 2.4 * len(by_kind)), sharey=True, squeeze=False
    )
    for panel, (kind, found) in zip(panels[:, 0], by_kind.items(), strict=True):
        lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for day, night in enumerate(found, start=1):
            for one in night.columns:
                if one["threshold"] is not None:
                    at = lines.setdefault((one["side"], one["column"]), [])
                    at.append((day, one["distance"] / one["threshold"]))
        for name, points in lines.items():
            most = max(points, key=lambda point: point[1])
            is_high = most[1] > 1
            style: dict[str, Any] = {"lw": 1.6} if is_high else {"lw": 0.8, "color": "0.75"}
            label = ".".join(name) if is_high else None
            panel.plot(*zip(*points, strict=True), marker=".", label=label, **style)
        panel.axhline(1, color="black", lw=0.8, ls="--")
        if kind != "healthy":
            panel.axvline(SHIFT_AFTER_DAYS + 0.5, color="black", lw=0.8, ls=":")
        panel.set(title=kind, ylabel="distance / threshold", ylim=(0, 3))
        if panel.get_legend_handles_labels()[1]:
            panel.legend(fontsize=7, loc="upper right")
    panels[-1, 0].set_xlabel("day (dotted: the shift begins)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--model", default="item_knn", show_default=True, help="Model that is served.")
@click.option("--days", default=30, show_default=True, help="Healthy days.")
@click.option("--shift-days", default=6, show_default=True, help="Days with a shift after the second.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the shop.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="PNG file to draw.")
@click.option("--smoke", is_flag=True, help="A small shop and a few days.")
def main(model: str, days: int, shift_days: int, seed: int, plot: Path | None, smoke: bool) -> None:
    """Measure false alarms on healthy days, and how soon each kind of shift is found."""
    warnings.simplefilter("ignore")
    if smoke:
        model, days, shift_days = "trending", 3, 3
    by_kind: dict[str, list[Night]] = {"healthy": nights(model, days, None, seed, smoke)}
    show_healthy(by_kind["healthy"])
    kinds: tuple[ShiftKind, ...] = ("price",) if smoke else tuple(SIZES)
    for kind in kinds:
        by_kind[kind] = nights(model, shift_days, kind, seed, smoke)
        show_shift(kind, by_kind[kind])
    if plot is not None:
        draw(by_kind, plot)


if __name__ == "__main__":
    main()
