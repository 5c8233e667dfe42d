"""`tastemaker watch`: scrape, evaluate the alert rules, and notify people."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tastemaker.settings import Settings
    from tastemaker.watch.watcher import Watcher


@click.command()
@click.option("--once", is_flag=True, help="Scrape twice, print the conditions that are true, and exit.")
@click.option(
    "--facts-only",
    is_flag=True,
    help="Do not scrape or evaluate: export facts, and take alerts from Alertmanager.",
)
@click.option("--json", "as_json", is_flag=True, help="With --once: print JSON.")
def watch(once: bool, facts_only: bool, as_json: bool) -> None:
    """Scrape services, evaluate the rules, notify people.

    What is scraped and who is notified are settings: `[watch]` in tastemaker.toml. Incidents are kept in the
    metadata database. A second watcher on the same database waits, and takes over within 20 seconds.

    With --facts-only, Prometheus scrapes and evaluates: it reads the facts of data, models and jobs from
    /metrics, and Alertmanager sends its alerts to /api/alerts.

    \b
    Examples:
      tastemaker watch
      tastemaker watch --once
      TASTEMAKER_WATCH__TARGETS=http://shop-1:3000,http://shop-2:3000 tastemaker watch
      tastemaker watch --facts-only

    \b
    Exit status of --once:
      0  no condition is true
      1  a condition is true; the output says which
    """
    from tastemaker.errors import TastemakerError
    from tastemaker.settings import load_settings

    if once and facts_only:
        raise TastemakerError("--once and --facts-only exclude each other", fix="pass one of them")
    settings = load_settings()
    if once:
        _once(settings, as_json=as_json)
        return
    _run(settings, facts_only=facts_only)


def _run(settings: Settings, *, facts_only: bool) -> None:
    import logging

    from tastemaker.watch.pages import PageServer

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tastemaker").setLevel(logging.INFO)
    watcher, server = _watcher(settings, facts_only=facts_only), None
    try:
        server = PageServer(watcher)
        server.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: watcher.stop())
        channels = ", ".join(settings.watch.channels) or "none, so no person is notified"
        click.echo(f"watching; pages on {settings.watch.base_url}/alerts; channels: {channels}", err=True)
        watcher.run()
    finally:
        if server is not None:
            server.close()


def _once(settings: Settings, *, as_json: bool) -> None:
    import sys
    import time

    from tastemaker.util import strict_json

    watcher = _watcher(settings, facts_only=False)
    watcher.collect_facts()
    watcher.measure()
    now = time.time()
    watcher.scrape(now)
    time.sleep(watcher.interval)
    watcher.scrape(now + watcher.interval)
    found = watcher.conditions(now + watcher.interval)
    if as_json:
        click.echo(strict_json.dumps(found))
    for rule, texts in () if as_json else found.items():
        for labels, text in texts.items():
            click.echo(f"{rule}  {labels}\n  {text}")
    if not found and not as_json:
        click.echo(f"no condition is true ({len(watcher.targets(now))} targets)")
    sys.exit(1 if found else 0)


def _watcher(settings: Settings, *, facts_only: bool) -> Watcher:
    from tastemaker.alerting.rules import all_rules
    from tastemaker.log_search.newest_ids import newest_ids
    from tastemaker.monitoring.facts import collect
    from tastemaker.notifications.channels import open_channels
    from tastemaker.serving.runtime.running_services import running
    from tastemaker.storage.engine import open_engine
    from tastemaker.watch.signed_links import SignedLinks, watch_key
    from tastemaker.watch.watch_metrics import rendered
    from tastemaker.watch.watcher import Watcher

    return Watcher(
        settings,
        open_engine(settings.metadata_url),
        all_rules(settings),
        open_channels(settings),
        services=lambda: [one.address for one in running(settings.home)],
        facts=lambda: rendered(list(collect(settings))),
        links=SignedLinks(settings.watch.base_url, watch_key(settings.home)),
        find_examples=lambda query, limit: newest_ids(query, settings, limit),
        facts_only=facts_only,
    )
