"""`tastemaker experiment guard`: check the guardrails of the experiments that run, and act on them."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from threading import Event

    from sqlalchemy import Engine

    from tastemaker.experiments.guardrails.guard import Guard, GuardReport
    from tastemaker.settings import Settings


@click.command()
@click.option("--follow", is_flag=True, help="Continue until stopped (SIGTERM or Ctrl-C).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow one line per check.")
def guard(follow: bool, as_json: bool) -> None:
    """Check guardrails, and roll back harmful variants.

    Each variant is compared with control, by what the service did (each minute) and by what users did (each
    hour). A verdict is safe, harm, unknown or stale. Harm in two checks in a row rolls the experiment back;
    units that are not divided as planned, or faults in all variants at once, hold it. When every guardrail is
    safe and the step has lasted long enough, the next step is taken. It never ships, and never undoes what a
    person did.

    `tastemaker control` keeps one running with --follow. A second one in the same home folder waits for the
    first.

    \b
    Examples:
      tastemaker experiment guard
      tastemaker experiment guard --follow

    \b
    Exit status without --follow:
      0  no harm was found
      1  a guardrail found harm, or an experiment could not be checked
    """
    from tastemaker.settings import load_settings

    settings = load_settings()
    if follow:
        _follow(settings, as_json=as_json)
    else:
        _once(settings, as_json=as_json)


def _once(settings: Settings, *, as_json: bool) -> None:
    import sys

    from tastemaker.util import strict_json

    with _opened(settings) as one:
        one.act_on_trips()
        reports = one.check()
    if as_json:
        click.echo(strict_json.dumps([_as_dict(report) for report in reports]))
    else:
        for line in _lines(reports):
            click.echo(line)
        if not reports:
            click.echo("no experiment runs")
    is_harmed = any(check.found.verdict == "harm" for report in reports for check in report.checks)
    sys.exit(is_harmed or not all(report.checks for report in reports))


def _follow(settings: Settings, *, as_json: bool) -> None:
    import logging
    from threading import Event

    from tastemaker.serving.runtime.parent_process import end_with_server

    end_with_server()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tastemaker").setLevel(logging.INFO)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _alone(settings, stop), _opened(settings, stop) as one:
        one.run(stop, lambda reports: _report(reports, as_json=as_json))


@contextmanager
def _alone(settings: Settings, stop: Event) -> Iterator[None]:
    """Wait until no other guard of this home folder runs, or the stop."""
    from contextlib import ExitStack

    from tastemaker.experiments.guardrails.guard import LOOK_SECONDS
    from tastemaker.experiments.guardrails.running_guard import lock_path
    from tastemaker.util.file_lock import file_lock

    waits = False
    with ExitStack() as stack:
        while not stop.is_set():
            try:
                stack.enter_context(file_lock(lock_path(settings.experiments_root), wait=False))
                break
            except BlockingIOError:
                if not waits:
                    click.echo("another guard runs; this one waits for its end", err=True)
                waits = True
                stop.wait(LOOK_SECONDS)
        yield


@contextmanager
def _opened(settings: Settings, stop: Event | None = None) -> Iterator[Guard]:
    """Open the guard; with `stop`, wait for a database that is away."""
    from contextlib import closing

    from tastemaker.data.lake import Lake
    from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
    from tastemaker.experiments.guardrails.guard import Guard
    from tastemaker.experiments.guardrails.reward_units import RewardReader
    from tastemaker.experiments.lifecycle.store import Experiments
    from tastemaker.problem import load_problem

    problem = load_problem(settings.problem)
    engine = _engine(settings, stop)
    try:
        with closing(AssignedRequests(settings)) as requests:
            yield Guard(
                Experiments(engine, settings.home, problem, settings.retrieval),
                requests,
                RewardReader(engine, Lake(settings.lake), problem),
            )
    finally:
        engine.dispose()


def _engine(settings: Settings, stop: Event | None) -> Engine:
    from tastemaker.errors import TastemakerError
    from tastemaker.experiments.guardrails.guard import LOOK_SECONDS
    from tastemaker.storage.engine import open_engine

    waits = False
    while True:
        try:
            return open_engine(settings.metadata_url)
        except TastemakerError as error:
            if stop is None or stop.is_set():
                raise
            if not waits:
                click.echo(f"{error}; trying again every second", err=True)
            waits = True
            stop.wait(LOOK_SECONDS)


def _report(reports: Sequence[GuardReport], *, as_json: bool) -> None:
    """Print a check of --follow: all of it as JSON, or only what was done."""
    from tastemaker.util import strict_json

    if as_json:
        click.echo(strict_json.dumps([_as_dict(report) for report in reports], indent=None))
        return
    for report in reports:
        if report.decision is not None:
            click.echo(_decided(report))


def _lines(reports: Sequence[GuardReport]) -> Iterator[str]:
    from tastemaker.util.counted import counted

    for report in reports:
        yield f"{report.experiment}, epoch {report.epoch}"
        for check in report.checks:
            found = check.found
            figures = f"{_number(found.value)}, control {_number(found.control_value)}"
            units = counted(found.units, "unit")
            yield f"  {found.verdict:8}{check.guardrail:22}{check.variant:16}{figures}, {units}"
        if report.decision is not None:
            yield f"  {_decided(report)}"
        elif report.refusal is not None:
            yield f"  not checked: {report.refusal}"


def _decided(report: GuardReport) -> str:
    decision = report.decision
    assert decision is not None
    text = f"{report.experiment}: {decision.action.replace('_', ' ')} by {decision.actor}: {decision.reason}"
    return text if report.refusal is None else f"{text}; refused: {report.refusal}"


def _number(value: float | None) -> str:
    return "no data" if value is None else f"{value:.4g}"


def _as_dict(report: GuardReport) -> dict[str, Any]:
    checks = [
        {"variant": check.variant, "guardrail": check.guardrail, "margin": check.margin}
        | check.found._asdict()
        for check in report.checks
    ]
    decided = report.decision
    decision = (
        None
        if decided is None
        else {name: getattr(decided, name) for name in ("action", "actor", "reason", "evidence", "variant")}
    )
    return report._asdict() | {"checks": checks, "decision": decision}
