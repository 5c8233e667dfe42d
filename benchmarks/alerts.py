"""How soon a fault of the model pages, and how often.

    python benchmarks/alerts.py                            NaN for a tenth of the users, 20 times
    python benchmarks/alerts.py --share 0.25 --rounds 1
    python benchmarks/alerts.py --share 0.03 --rounds 1

Real services of a simulated shop under simulated traffic, a real `tastemaker watch`, and, with
--prometheus, a real Prometheus and Alertmanager with the files of deploy/ beside it. The receiver is a server
that checks events and keeps alerts by their key, as PagerDuty documents it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.pagerduty_server import ROUTING_KEY, PagerDutyAlert, PagerDutyServer
from support.prometheus_servers import alertmanager, prometheus, read_yaml, write_yaml
from support.repository import ROOT
from support.servers import free_port
from support.shop_homes import make_shop_home
from support.visited_service import BIN, Service, environment, served, visiting
from tastemaker.simulator.faults.switch import switched_on

CLEAN_SECONDS = 75.0
"""After the end of a fault's incident: longer than the longest window of the rule that found it."""
RULES = {"fallback_share", "fallback_share_quiet", "fallback_budget_burn"}
"""Rules that may page for NaN; any other page is counted as unexpected."""
LINE = "{:<11} {:>8} {:>10} {:>9} {:>9} {:>11}"
Pagers = dict[str, PagerDutyServer]


class Round(NamedTuple):
    """One fault at one service, as one receiver saw it."""

    mode: str
    page_seconds: float | None
    """From the fault's begin to the first trigger; None: none came."""
    resolve_seconds: float | None
    """From the fault's end to the resolve."""
    triggers: int
    resolves: int
    unexpected: int
    """Pages of rules that do not speak of the model's answers."""


class Plan(NamedTuple):
    """What is done to each service."""

    share: float
    rounds: int
    rate: float
    with_prometheus: bool
    page_wait: float
    resolve_wait: float
    healthy_seconds: float


@click.command()
@click.option("--share", default=0.1, show_default=True, help="Share of the users who get NaN.")
@click.option("--rounds", default=5, show_default=True, help="Faults of each service, one after the other.")
@click.option("--worlds", default=4, show_default=True, help="Services side by side, each with a watch.")
@click.option("--rate", default=10.0, show_default=True, help="Visits per second at each service.")
@click.option("--prometheus/--no-prometheus", "with_prometheus", default=True, help="Whether both modes run.")
@click.option("--wait", default=240.0, show_default=True, help="Seconds after which a page is given up.")
@click.option("--smoke", is_flag=True, help="One large fault until its page, the watch alone.")
def main(
    share: float, rounds: int, worlds: int, rate: float, with_prometheus: bool, wait: float, smoke: bool
) -> None:
    """Give NaN to a share of the users again and again, and time the pages."""
    plan = Plan(share, rounds, rate, with_prometheus, wait, 600, 60)
    if smoke:
        worlds, plan = 1, Plan(0.5, 1, rate, False, wait, 0, 5)
    click.echo(LINE.format("mode", "page s", "resolve s", "triggers", "resolves", "unexpected"))
    with tempfile.TemporaryDirectory(prefix="tastemaker-alerts-") as folder:

        def world(number: int) -> list[Round]:
            own = Path(folder) / str(number)
            own.mkdir()
            return list(_world(own, plan))

        with ThreadPoolExecutor(worlds) as pool:
            found = [one for rounds_of_one in pool.map(world, range(worlds)) for one in rounds_of_one]
    for mode in dict.fromkeys(one.mode for one in found):
        mine = [one for one in found if one.mode == mode]
        paged = sorted(one.page_seconds for one in mine if one.page_seconds is not None)
        once = sum(one.triggers == one.resolves == 1 for one in mine)
        spread = f"{paged[0]:.1f} to {paged[-1]:.1f}, median {paged[len(paged) // 2]:.1f}" if paged else "-"
        click.echo(
            f"{mode}: {len(paged)} of {len(mine)} faults of {plan.share:.0%} paged after {spread} s; {once} "
            f"with one trigger and one resolve; {sum(one.unexpected for one in mine)} unexpected pages"
        )


def _world(folder: Path, plan: Plan) -> Iterator[Round]:
    """Run a service under traffic with what watches it, and yield what each receiver saw of each fault."""
    home = folder / "home"
    version = make_shop_home(home)["popularity"]
    prepared = subprocess.run(
        [str(BIN / "tastemaker"), "simulate", "--prepare-faults"],
        env=environment(home), capture_output=True, text=True, check=True,
    )  # fmt: skip
    more = {"PYTHONPATH": prepared.stdout.strip(), "TASTEMAKER_VERSION": ""}
    with ExitStack() as stack:
        service = stack.enter_context(
            served(home, version, command=["tastemaker", "serve", "faulty"], more=more)
        )
        stack.enter_context(visiting(home, service, "--rate", str(plan.rate), "--at-once", "8"))
        pagers = {"watch": stack.enter_context(PagerDutyServer())}
        stack.enter_context(_watch(home, [service.url], pagers["watch"]))
        if plan.with_prometheus:
            pagers["Prometheus"] = stack.enter_context(PagerDutyServer())
            _production(folder, service, pagers["Prometheus"], stack)
        time.sleep(plan.healthy_seconds)  # rates need a window of healthy traffic
        for number in range(plan.rounds):
            for one in _fault(home, pagers, plan):
                click.echo(LINE.format(one.mode, _seconds(one[1]), _seconds(one[2]), *one[3:]))
                yield one
            if number + 1 < plan.rounds:
                time.sleep(CLEAN_SECONDS)


@contextmanager
def _watch(home: Path, targets: list[str], pager: PagerDutyServer) -> Iterator[subprocess.Popen[bytes]]:
    """Run `tastemaker watch` with one channel for pages."""
    channel = f'[watch.channels.pager]\ntype = "pagerduty"\nurl = "{pager.events_url}"\n'
    addresses = ", ".join(f'"{target}"' for target in targets)
    (home / "tastemaker.toml").write_text(
        f'home = "{home}"\n[watch]\nport = {free_port()}\ntargets = [{addresses}]\n'
        f'page = ["pager"]\nticket = []\nflapping_per_hour = 1000\n{channel}'
    )
    with (home / "watch.log").open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / "tastemaker"), "watch"],
            cwd=home,
            env=os.environ | {"PAGERDUTY_ROUTING_KEY": ROUTING_KEY},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _production(folder: Path, service: Service, pager: PagerDutyServer, stack: ExitStack) -> None:
    """Run Prometheus and Alertmanager with the files of deploy/, whose pages go to the receiver."""
    document = read_yaml(ROOT / "deploy" / "alertmanager" / "alertmanager.yml")
    (folder / "routing_key").write_text(ROUTING_KEY)
    (folder / "chat").write_text("http://127.0.0.1:9/")
    for receiver in document["receivers"]:
        for config in receiver.get("pagerduty_configs", []):
            config |= {"url": pager.events_url, "routing_key_file": str(folder / "routing_key")}
        for config in receiver.get("slack_configs", []):
            config["api_url_file"] = str(folder / "chat")
        for config in receiver.get("webhook_configs", []):
            config["url"] = "http://127.0.0.1:9/"
    for name in ("prometheus", "alertmanager"):
        (folder / name).mkdir()
    written = write_yaml(folder / "alertmanager.yml", document)
    manager = stack.enter_context(alertmanager(folder / "alertmanager", written))
    stack.enter_context(
        prometheus(
            folder / "prometheus",
            ROOT / "deploy" / "prometheus" / "rules" / "*.yml",
            jobs={"tastemaker": [service.url.removeprefix("http://")]},
            alertmanager=manager.removeprefix("http://"),
        )
    )


def _fault(home: Path, pagers: Pagers, plan: Plan) -> Iterator[Round]:
    """Begin a fault, end it when all receivers were paged, and wait until all was resolved."""
    began = time.time()
    with switched_on(home, {"nan_scores": plan.share}):
        _until(lambda: all(_open(pager, began) for pager in pagers.values()), plan.page_wait)
    ended = time.time()
    _until(lambda: not any(pager.open_alerts for pager in pagers.values()), plan.resolve_wait)
    for mode, pager in pagers.items():
        mine = [one for one in pager.alerts if one.triggered_at >= began]
        yield _seen(mode, mine, began, ended)


def _open(pager: PagerDutyServer, began: float) -> list[PagerDutyAlert]:
    return [one for one in pager.open_alerts if one.triggered_at >= began and _rule(one) in RULES]


def _seen(mode: str, alerts: list[PagerDutyAlert], began: float, ended: float) -> Round:
    expected = [one for one in alerts if _rule(one) in RULES]
    first = expected[0] if expected else None
    actions = [event["event_action"] for one in expected for event in one.events]
    return Round(
        mode,
        None if first is None else first.triggered_at - began,
        None if first is None or first.resolved_at is None else first.resolved_at - ended,
        actions.count("trigger"),
        actions.count("resolve"),
        len(alerts) - len(expected),
    )


def _until(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.2)


def _rule(alert: PagerDutyAlert) -> str:
    """Return the rule that an alert is of, by the class that its first event names."""
    name: str = alert.events[0]["payload"]["class"]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removeprefix("Tastemaker")).lower()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    main()
