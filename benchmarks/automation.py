"""What automated retraining does and is worth, in a simulated shop whose truth is known.

    python benchmarks/automation.py             # all parts
    python benchmarks/automation.py days        # 30 days under three policies, and their picture

What kills of a run's process lose is measured by `run_kills`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from automation_days import FIX_DAYS, Played, differences, draw, interval, play_all
from automation_policies import POLICIES
from automation_shop import Size

SMOKE = Size(learned=20, days=2, n_users=120, n_items=60, events_per_day=150.0)


def days(seeds: int, size: Size, out: Path | None) -> None:
    """Print the true clicks of each policy over simulated days, with paired differences, and draw them."""
    played = []
    for seed, one in enumerate(play_all(range(seeds), size)):
        played.append(one)
        means = ", ".join(f"{name} {values.mean():.3f}" for name, values in one.clicks.items())
        click.echo(f"  seed {seed}: {means}; best possible {one.best.mean():.3f}; {one.calendar}")
    click.echo(f"expected clicks per list over {size.days} days, mean of {seeds} shops and 95 % interval")
    for policy in POLICIES:
        mean, half = interval(np.array([one.clicks[policy.name].mean() for one in played]))
        versions = np.mean([one.versions[policy.name] for one in played])
        click.echo(f"  {policy.name:<18} {mean:6.3f} ± {half:.3f}  {versions:6.1f} versions trained")
    automated = POLICIES[-1].name
    for policy in POLICIES[:-1]:
        found = differences(played, policy.name)
        mean, half = interval(found)
        click.echo(
            f"  {automated} - {policy.name:<18} {mean:+.3f} ± {half:.3f}, paired by shop; "
            f"by shop {' '.join(f'{each:+.3f}' for each in found)}"
        )
    _show_release(played, size)
    if out is not None:
        draw(played, out)
        click.echo(f"picture in {out}")


def _show_release(played: list[Played], size: Size) -> None:
    """Print the clicks on the days of the bad release alone."""
    click.echo(f"  on the {FIX_DAYS} days between a bad release and its fix:")
    for policy in POLICIES:
        days_of = [slice(one.calendar.bad_release, one.calendar.bad_release + FIX_DAYS) for one in played]
        means = [one.clicks[policy.name][at].mean() for one, at in zip(played, days_of, strict=True)]
        click.echo(f"    {policy.name:<16} {np.mean(means):6.3f}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=2), help="Shops 0, 1, ...")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PNG or SVG file to draw the days into.",
)
def main(seeds: int, smoke: bool, out: Path | None) -> None:
    """Measure automated retraining."""
    if smoke:
        days(2, SMOKE, None)
    else:
        days(seeds, Size(), out)


if __name__ == "__main__":
    sys.exit(main())
