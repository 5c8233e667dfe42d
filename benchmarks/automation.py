"""What automated retraining does, and what it is worth in a simulated shop whose truth is known.

python benchmarks/automation.py                       # all parts
python benchmarks/automation.py days --out days.png   # 30 days under three policies, and their picture
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import automation_model
import click
import numpy as np
from automation_days import FIX_DAYS, Played, differences, draw, interval, play_all
from automation_drift import answer_drift
from automation_failures import report_failures
from automation_policies import PATHS, POLICIES, Automated, Home
from automation_shop import ChangingShop, Size

SMOKE = Size(learned=20, days=2, n_users=80, n_items=40, events_per_day=100.0, lists_per_day=2_000.0)
POLLS, POLL_SECONDS = 5, 30


def unchanged(size: Size) -> None:
    """Print how much runs when no day is new: each sensor, and then the nightly job's assets."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-automation-") as folder:
        home = Home(Path(folder) / "home", Path(folder) / "events.parquet")
        automation_model.install("1.0", Path(folder) / "releases")
        ChangingShop(0, size).deliver(0, home.events)
        home.run()
        policy, before = Automated(home), home.versions()
        policy.poll()  # what a night lands first, such as the log
        runs = sum(policy.poll() for _ in range(POLLS))
        home.run()
        trained = len(home.versions()) - len(before)
        click.echo(f"no new day: {runs} runs requested in {POLLS} polls; nightly: {trained} versions trained")


def drift() -> None:
    """Print how soon Dagster's daemon answers drift with a version."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-automation-") as folder:
        found = answer_drift(Path(folder) / "home", POLL_SECONDS)
    total = sum(found)
    click.echo(
        f"drift report to version: {total:.1f} s with a poll every {POLL_SECONDS} s: "
        f"{found.until_request:.1f} s until the request, {found.until_start:.1f} s until the run starts, "
        f"{found.training:.1f} s of training"
    )


def failures(launched: int, at_once: int, *, waits: bool = True) -> None:
    """Print how soon channels have a message about each failed run; exit with 1 unless each has one."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-automation-") as folder:
        found = [*report_failures(Path(folder) / "home", launched, at_once, waits=waits)]
    click.echo("seconds from the end of a failed run to its message, in two channels")
    for one in found:
        what = f"{one.runs} within {one.within:.1f} s" if one.runs > 1 else "1 started by the daemon"
        click.echo(
            f"  {what:<26} {min(one.seconds):.1f} to {max(one.seconds):.1f}, "
            f"median {np.median(one.seconds):.1f}; {len(one.seconds)} messages, {one.doubled} doubled"
        )
    if any(one.doubled for one in found):
        sys.exit(1)


def days(seeds: range, size: Size, path: str, out: Path | None, workers: int | None = None) -> None:
    """Print the true clicks of each policy over simulated days, with paired differences, and draw them."""
    played = []
    click.echo(f"expected clicks per list, mean of {size.days} days")
    for seed, one in zip(seeds, play_all(seeds, size, path, workers), strict=True):
        played.append(one)
        means = ", ".join(f"{name} {values.mean():.3f}" for name, values in one.clicks.items())
        ends = ", ".join(f"{n} {state}" for state, n in one.rollouts[POLICIES[-1].name].items())
        click.echo(f"  shop {seed}: {means}; best possible {one.best.mean():.3f}; {one.calendar}")
        click.echo(f"    {POLICIES[-1].name}: {ends}")
    if len(seeds) > 1:
        _show_differences(played)
    _show_release(played)
    if out is not None:
        draw(played, out)
        click.echo(f"picture in {out}")


def _show_differences(played: list[Played]) -> None:
    """Print the means of the policies over shops, and how far the automated one is ahead."""
    click.echo(f"mean of {len(played)} shops and 95 % interval")
    for policy in POLICIES:
        mean, half = interval(np.array([one.clicks[policy.name].mean() for one in played]))
        versions = np.mean([one.versions[policy.name] for one in played])
        click.echo(f"  {policy.name:<18} {mean:6.3f} ± {half:.3f}  {versions:6.1f} versions trained")
    for policy in POLICIES[:-1]:
        found = differences(played, policy.name)
        mean, half = interval(found)
        click.echo(
            f"  {POLICIES[-1].name} - {policy.name:<18} {mean:+.3f} ± {half:.3f}, paired by shop; "
            f"by shop {' '.join(f'{each:+.3f}' for each in found)}"
        )


def _show_release(played: list[Played]) -> None:
    """Print the clicks on the days of the bad release alone, of the shops that had one."""
    played = [one for one in played if one.calendar.bad_release < len(one.best)]
    if not played:
        return
    click.echo(f"on the days of a bad release, {FIX_DAYS} until its fix")
    for policy in POLICIES:
        means = [one.clicks[policy.name][one.calendar.bad_release :][:FIX_DAYS].mean() for one in played]
        click.echo(f"  {policy.name:<18} {np.mean(means):6.3f}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("parts", nargs=-1, type=click.Choice(["unchanged", "drift", "failures", "days"]))
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=2), help="How many shops.")
@click.option(
    "--first", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the first one."
)
@click.option(
    "--path",
    default="rollout",
    show_default=True,
    type=click.Choice([*PATHS]),
    help="How versions of the automated policy enter production.",
)
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="PNG or SVG file of the days.")
def main(parts: tuple[str, ...], seeds: int, first: int, path: str, smoke: bool, out: Path | None) -> None:
    """Measure automated retraining: unchanged nights, drift, failures, and 30 days of a changing shop."""
    warnings.simplefilter("ignore")
    if smoke:
        failures(0, 3, waits=False)
        days(range(1), SMOKE, "rollout", None, workers=0)
        return
    measures: dict[str, Callable[[], None]] = {
        "unchanged": lambda: unchanged(Size()),
        "drift": drift,
        "failures": lambda: failures(3, 200),
        "days": lambda: days(range(first, first + seeds), Size(), path, out),
    }
    for part in parts or measures:
        measures[part]()


if __name__ == "__main__":
    sys.exit(main())
