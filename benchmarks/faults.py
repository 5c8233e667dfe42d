"""A hundred kills, and outages of a minute: what tests/faults does, more often and under more traffic.

    python benchmarks/faults.py                  all of it, about ten minutes
    python benchmarks/faults.py redis --seconds 20

Prints what the simulator's client log says. Needs Redis and Postgres installed, and root for the full disk.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import scenarios
from support.small_disks import mounted

COLUMNS = "{:<10} {:>7} {:>8} {:>12} {:>6} {:>8} {:>11} {:>10}"


@click.command()
@click.argument("names", nargs=-1, metavar="[kills|disk|clock|redis|postgres]...")
@click.option("--smoke", is_flag=True, help="One kill: shows that it runs.")
@click.option("--kills", default=100, show_default=True, help="How often the service is killed.")
@click.option("--seconds", default=60.0, show_default=True, help="How long a server or the disk is away.")
def main(names: tuple[str, ...], smoke: bool, kills: int, seconds: float) -> None:
    """Do harm to a service under simulated traffic, and count what was lost."""
    if smoke:
        names, kills = ("kills",), 1

    def disk(home: Path) -> scenarios.Survived:
        with mounted(home / "spool", "64m") as spool:
            return scenarios.disk_full(home, spool, seconds)[0]

    known: dict[str, Callable[[Path], scenarios.Survived]] = {
        "kills": lambda home: scenarios.killed(home, kills),
        "disk": disk,
        "clock": scenarios.clock_jumps,
        "redis": lambda home: scenarios.redis_away(home, seconds),
        "postgres": lambda home: scenarios.postgres_away(home, seconds),
    }
    if unknown := set(names) - known.keys():
        raise click.UsageError(f"{', '.join(sorted(unknown))}: none of {', '.join(known)}")
    head = ("scenario", "lists", "no list", "acknowledged", "lost", "doubled", "unlogged", "recovery s")
    click.echo(COLUMNS.format(*head))
    for name in names or known:
        with tempfile.TemporaryDirectory(prefix="tastemaker-faults-") as folder:
            try:
                survived = known[name](Path(folder) / "home")
            except pytest.skip.Exception as skipped:  # what it needs is not on this machine
                click.echo(f"{name:<10} left out: {skipped}")
                continue
        click.echo(COLUMNS.format(name, *_figures(survived)))


def _figures(survived: scenarios.Survived) -> tuple[str, ...]:
    """Return the figures of a line of the table.

    `unlogged` counts the lists that are not in the log; `recovery` is the median and the longest.
    """
    found, recovery = survived.verdict, sorted(survived.recovery_seconds)
    return (
        f"{found.answered:,}",
        f"{survived.summary['failed']:,}",
        f"{found.acknowledged:,}",
        str(len(found.lost_events)),
        str(len(found.doubled_events)),
        str(len(found.lost_answers)),
        f"{recovery[len(recovery) // 2]:.1f}, {recovery[-1]:.1f}",
    )


if __name__ == "__main__":
    main()
