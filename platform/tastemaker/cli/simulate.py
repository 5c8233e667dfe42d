"""`tastemaker simulate`: send the traffic of a simulated shop to a running service."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from tastemaker.cli.names import Name
from tastemaker.cli.numbers import Number
from tastemaker.util import strict_json

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.settings import Settings
    from tastemaker.simulator.faults.produced import ProducedFaults
    from tastemaker.simulator.traffic.audience import TrafficMix
    from tastemaker.simulator.traffic.plan import Plan
    from tastemaker.simulator.traffic.statistics import Statistics, Summary

KEY = "TASTEMAKER_API_KEY"
"""Environment variable of the API key to send to the service."""
SHARE = Number(0, 1)
DEFAULT_SHARE = 0.05
"""Share of a fault that is given without one."""


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of 90, 90s, 1.5m or 1h."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", value)
    if not found or not float(found[1]):
        raise click.BadParameter(f"{value!r} is not a duration above 0; write 60s, 5m or 1h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3_600}[found[2] or "s"]


def _faults(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:
    """Return shares by the fault's name, from NAME or NAME=SHARE; `list` has none."""
    from tastemaker.simulator.faults.catalogue import FAULTS as CATALOGUE
    from tastemaker.simulator.traffic.fault_injection import FAULTS

    if value == ("list",):
        return {"list": 0.0}
    shares = {}
    for one in value:
        name, has_share, share = one.partition("=")
        if name not in FAULTS and name not in CATALOGUE:
            known = dict.fromkeys([*FAULTS, *CATALOGUE])
            raise click.BadParameter(f"{name!r} is not one of {', '.join(known)}")
        place = CATALOGUE[name].place if name in CATALOGUE else "traffic"
        if place in ("source", "start"):
            what = "of what the shop delivers" if place == "source" else "of how a command was started"
            how = "set it in source.options" if place == "source" else f"start {_started(name)}"
            raise click.BadParameter(f"{name!r} is a fault {what}: {CATALOGUE[name].does}; {how}")
        usual = CATALOGUE[name].share if name in CATALOGUE else DEFAULT_SHARE
        if has_share and usual is None:
            raise click.BadParameter(
                f"{one!r}: {name} has no share, so {share!r} has no effect; write {name}"
            )
        try:
            shares[name] = float(share) if has_share else usual or 1.0
        except ValueError:
            raise click.BadParameter(f"{one!r}: {share!r} is not a number") from None
        if not 0 <= shares[name] <= 1:
            raise click.BadParameter(f"{one!r}: a share must be from 0 to 1")
    return shares


def _started(fault: str) -> str:
    """Return the command that has a fault if it is started like this."""
    import shlex

    from tastemaker.simulator.faults.catalogue import FAULTS

    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in FAULTS[fault].environment)
    return f"{given} {FAULTS[fault].command}"


@click.command()
@click.argument("url", default="http://127.0.0.1:3000")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=_duration,
    help="Duration of the traffic.  [default: 60s, or none if --visits is given]",
)
@click.option("--visits", type=click.IntRange(min=1), help="Number of visits.  [default: no limit]")
@click.option(
    "--rate",
    type=Number(0, min_open=True),
    help="Visits per second.  [default: as many as the service answers]",
)
@click.option(
    "--at-once",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Number of concurrent visits.",
)
@click.option(
    "--k", default=10, show_default=True, type=click.IntRange(1, 1_000), help="Length of the lists."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Random seed.")
@click.option(
    "--anonymous", default=0.1, show_default=True, type=SHARE, help="Share of visits without a sign-in."
)
@click.option(
    "--bots",
    default=0.0,
    show_default=True,
    type=SHARE,
    help="Share of visits by bots, which click every item.",
)
@click.option(
    "--drift",
    default=0.0,
    show_default=True,
    type=SHARE,
    help="Share of users whose tastes change per simulated day.",
)
@click.option("--new-items", is_flag=True, help="Launch and withdraw items on each simulated day.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=Name(),
    callback=_faults,
    metavar="NAME[=SHARE]",
    help="Inject a fault (see below); may be given more than once. `list`: print the faults that alert rules "
    "find.",
)
@click.option(
    "--prepare-faults",
    is_flag=True,
    help="Send no traffic: register the model `faulty`, which faults of a model need, and print the folder "
    "that makes it known.",
)
@click.option(
    "--retry-for",
    "retry_seconds",
    default="15s",
    show_default=True,
    metavar="TIME",
    callback=_duration,
    help="How long unacknowledged events are sent again.",
)
@click.option(
    "--client-log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the client's log of acknowledged requests.  [default: a new file in the home folder]",
)
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CLIENT_LOG",
    help="Send no traffic: ship this home folder's logs, and report which records of CLIENT_LOG are lost or "
    "duplicated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(
    url: str,
    seconds: float | None,
    visits: int | None,
    rate: float | None,
    at_once: int,
    k: int,
    seed: int,
    anonymous: float,
    bots: float,
    drift: float,
    new_items: bool,
    faults: dict[str, float],
    prepare_faults: bool,
    retry_seconds: float,
    client_log: Path | None,
    checked: Path | None,
    as_json: bool,
) -> None:
    """Send traffic of a simulated shop to the service at URL.

    Simulated users click, buy, and return or stay away.

    The shop is that of the `source` setting, on the days after its data ends. Everything that the service
    acknowledges is written to a client log; --check compares the logs with it (the exit status is 1 if a
    record is lost or duplicated). The environment variable TASTEMAKER_API_KEY holds the API key, if one is
    needed.

    \b
    Faults, each with its share of the visits (default 0.05):
      dropped    the connection breaks before the reply        repeated   events are sent again
      late       events arrive seconds later, out of order     skewed     the clock is an hour wrong
      orphaned   events name no request                        reshown    impressions are reported twice
      slow       request bodies arrive slowly

    `--fault list` prints further faults, with the alert rules that find them. Those of a model need a service
    of the model `faulty`, which fails only while this command runs:

    
      export PYTHONPATH=$(tastemaker simulate --prepare-faults)
      tastemaker serve faulty

    \b
    Examples:
      tastemaker simulate --for 60s --rate 100
      tastemaker simulate --visits 10000 --drift 0.02 --new-items
      tastemaker simulate http://shop:3000 --for 5m --bots 0.1 --fault dropped --fault repeated=0.2
      tastemaker simulate --for 5m --rate 50 --fault nan_scores=0.1
      tastemaker simulate --check .tastemaker/simulate/3f9c2ab1.jsonl
    """
    if "list" in faults:
        _list_faults(as_json)
        return
    from rich.console import Console

    from tastemaker.settings import load_settings
    from tastemaker.simulator.faults.produced import produce
    from tastemaker.simulator.traffic.audience import TrafficMix
    from tastemaker.simulator.traffic.plan import Plan

    settings, console = load_settings(), Console(highlight=False, stderr=as_json)
    if checked is not None:
        _check(settings, checked, console, as_json)
        return
    if prepare_faults:
        _prepare_faults()
        return
    run = uuid4().hex[:8]
    produced = produce(faults)
    plan = Plan(
        run=run,
        seconds=60.0 if seconds is None and visits is None else seconds,
        visits=visits,
        rate=rate,
        at_once=at_once,
        k=k,
        retry_seconds=retry_seconds,
        new_items=new_items,
        faults=produced.traffic,
    )
    mix = TrafficMix(seed=seed, anonymous=anonymous, bots=bots, drift=drift)
    path = client_log or settings.home / "simulate" / f"{run}.jsonl"
    summary = _visit(settings, url, mix, plan, path, console, produced)
    _print(summary, console, as_json)


def _visit(
    settings: Settings,
    url: str,
    mix: TrafficMix,
    plan: Plan,
    client_log: Path,
    console: Console,
    produced: ProducedFaults,
) -> Summary:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from tastemaker.simulator.faults.produced import require_faulty
    from tastemaker.simulator.traffic.simulation import models_at, shop_of
    from tastemaker.simulator.traffic.simulation import simulate as run
    from tastemaker.workflows.faults.in_force import in_force

    with console.status("opening the shop"):
        shop = produced.shop(shop_of(settings.source))
        require_faulty(url, models_at(url, _credentials()), produced)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("visits", total=1.0, counts="")

        def show(share: float, found: Statistics) -> None:
            counts = (
                f"{found.visits:,} visits, {found.acknowledged:,} events, {found.failed:,} without a list"
            )
            progress.update(task, completed=share, counts=counts)

        with in_force(produced, settings, url, shop, os.environ.get(KEY)) as never_comes:
            return run(
                shop, url, mix, plan, client_log,
                headers=_credentials(), never_comes=never_comes, is_ready=True, on_progress=show,
            )  # fmt: skip


def _credentials() -> dict[str, str]:
    key = os.environ.get(KEY)
    return {} if key is None else {"authorization": f"Bearer {key}"}


def _print(summary: Summary, console: Console, as_json: bool) -> None:
    from tastemaker.simulator.traffic.terminal import show

    if as_json:
        click.echo(strict_json.dumps(summary.as_dict()))
    else:
        show(summary, console)


def _check(settings: Settings, client_log: Path, console: Console, as_json: bool) -> None:
    from tastemaker.simulator.traffic.log_audit import verdict
    from tastemaker.simulator.traffic.terminal import show_verdict

    found = verdict(settings, client_log)
    if as_json:
        click.echo(strict_json.dumps(asdict(found)))
    else:
        show_verdict(found, console)
    if not found.sound:
        sys.exit(1)


def _prepare_faults() -> None:
    from tastemaker.workflows.faults.faulty_version import deploy_faulty, plugin_folder
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    version = deploy_faulty(workspace)
    click.echo(f"{version.model} {version.id} is registered: serve it with tastemaker serve faulty", err=True)
    click.echo(plugin_folder())


def _list_faults(as_json: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tastemaker.simulator.faults.catalogue import FAULTS, NOT_PRODUCED, rules_of

    if as_json:
        faults = [asdict(fault) | {"environment": dict(fault.environment)} for fault in FAULTS.values()]
        click.echo(strict_json.dumps({"faults": faults, "not_produced": dict(NOT_PRODUCED)}))
        return
    console, table = Console(), Table("fault", "rules", "where", "share", box=None)
    table.add_column("what happens", overflow="fold")
    for fault in FAULTS.values():
        does = fault.does
        if fault.environment:
            does += f" (start {_started(fault.name)})"
        share = "" if fault.share is None else f"{fault.share:g}"
        table.add_row(fault.name, rules_of(fault), fault.place, share, escape(does))
    console.print(table)
    console.print("\nRules that no fault here makes fire:")
    others = Table("rule", "why", box=None)
    for rule, reason in NOT_PRODUCED.items():
        others.add_row(rule, reason)
    console.print(others)
