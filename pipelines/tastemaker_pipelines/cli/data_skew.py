"""`tastemaker data skew`: compare logged features with those computed again as of then."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.numbers import Number

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.monitoring.skew import VersionSkew

NONE_COMPARED = {
    "late": "left out, since events came late",
    "not_read": "left out, since the online store was not read in time",
    "no_snapshot": "left out, since the snapshot of that time is gone",
}


@click.command()
@click.option(
    "--requests", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="Most requests."
)
@click.option(
    "--days",
    type=Number(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Period, until now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def skew(requests: int, days: float, as_json: bool) -> None:
    """Compare logged features with those computed again.

    The features are those that models were given. Each difference has a reason: definition (today's code
    computes another value), stale (the online store was not written) or serving (neither). The nightly run
    does the same. Requests that are not shipped yet are not looked at: see tastemaker ship. Exit status 1 if
    a value differs.

    \b
    Examples:
      tastemaker data skew
      tastemaker data skew --requests 100 --days 7
      tastemaker data skew --json | jq '.[].examples'
    """
    from rich.console import Console

    from tastemaker.monitoring.skew import check_skew
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    opened = Workspace.open()
    found = check_skew(opened.lake, opened.settings.features, opened.engine, requests=requests, days=days)
    if as_json:
        click.echo(strict_json.dumps([_as_json(one) for one in found]))
    else:
        console = Console(soft_wrap=True, highlight=False)
        if not found:
            console.print(f"No request of the last {days:g} days was given user features.")
        for one in found:
            _show(console, one)
    if any(one.differences for one in found):
        sys.exit(1)


def _as_json(one: VersionSkew) -> dict[str, Any]:
    return {
        "model": one.model,
        "version": one.version,
        "requests": one.requests,
        "feature_values": one.feature_values,
        "differing": len(one.differences),
        **one.summary(),
    }


def _show(console: Console, one: VersionSkew) -> None:
    """Print what was compared for a version, what differs, and examples."""
    summary = one.summary()
    console.print(
        f"[bold]{one.model} {one.version}[/]: {one.requests:,} requests, {one.feature_values:,} values, "
        f"{len(one.differences):,} differ"
    )
    for reason, values in summary["skipped"].items():
        console.print(f"  {values:,} values {NONE_COMPARED[reason]}")
    for each in summary["features"]:
        console.print(f"  [red]{each['feature']}[/]: {each['values']:,} values, {each['reason']}")
    for example in summary["examples"]:
        cutoff = datetime.fromtimestamp(example["cutoff"], UTC)
        console.print(
            f"    {example['feature']} of request {example['request_id']}: logged {example['logged']}, "
            f"computed again {example['recomputed']} (as of {cutoff:%Y-%m-%d %H:%M} UTC)"
        )
