"""`tastemaker flows`: what waits for people or for hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from tastemaker.cli.numbers import Number
from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from typing import Any

    from tastemaker_pipelines.flows.flow import PendingWork


@click.group()
def flows() -> None:
    """Serve the flows: rollouts and erasure requests.

    They wait for people or for hours, and continue after a kill at any line. Prefect runs them and shows them
    as pages, where people also answer; with --local, one process runs them and people answer by commands.

    \b
    Examples:
      tastemaker flows serve --local        without a Prefect server
      tastemaker flows server               start a Prefect server that contacts no other host
      PREFECT_API_URL=http://127.0.0.1:4200/api tastemaker flows serve
      tastemaker flows list                 what is pending, and what it waits for
    """


@flows.command()
@click.option("--local", is_flag=True, help="Without a Prefect server.")
@click.option("--once", is_flag=True, help="With --local: do what is due now, and exit.")
@click.option(
    "--poll",
    "poll_seconds",
    type=Number(1, 86_400),
    default=300.0,
    show_default=True,
    help="Seconds between two looks at a rollout whose next step waits for time or guardrails.",
)
def serve(local: bool, once: bool, poll_seconds: float) -> None:
    """Run the flows whenever their work is due, until stopped.

    One process per home folder. What people do by `tastemaker rollout` and `tastemaker erasure` is noticed
    within seconds. The server is that of PREFECT_API_URL.

    \b
    Examples:
      tastemaker flows serve
      tastemaker flows serve --local
      tastemaker flows serve --local --once     from a timer

    \b
    Exit status of --once:
      0  all that was due is done
      1  a flow failed; the output says why
    """
    from tastemaker.errors import TastemakerError
    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.flows import serve as serving

    if once and not local:
        raise TastemakerError("--once needs --local", fix="pass --local --once")
    workspace, poll = Workspace.open(), timedelta(seconds=poll_seconds)
    _ = workspace.problem  # a wrong problem file is reported before anything starts
    if not local:
        serving.serve(workspace, poll, click.echo)
        return
    from tastemaker_pipelines.flows.local import LocalFlows

    with serving.only_server(workspace.settings):
        here = LocalFlows(workspace, poll, click.echo)
        if not once:
            here.run()
        if here.run_due(datetime.now(UTC)):
            raise click.exceptions.Exit(1)


@flows.command("list")
@as_json_option
def list_flows(as_json: bool) -> None:
    """List the flows, and their work that is not at its end.

    \b
    Examples:
      tastemaker flows list
      tastemaker flows list --json | jq '.[].pending[].waits_for'
    """
    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.flows.catalogue import FLOWS

    workspace = Workspace.open()
    found = [(flow, flow.pending(workspace)) for flow in FLOWS.values()]
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json(
            [
                {"flow": flow.name, "description": flow.description, "pending": [*map(_plain, pending)]}
                for flow, pending in found
            ]
        )
        return
    for flow, pending in found:
        click.echo(f"{flow.name}: {flow.description}")
        for work in pending:
            click.echo(f"  {work.number}  {work.title}\n     waits for {work.waits_for}")
        if not pending:
            click.echo("  nothing is pending")


@flows.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=4200, show_default=True, help="The port.")
def server(port: int) -> None:
    """Start a Prefect server on this machine.

    It contacts no other host. Its data is in Prefect's own folder, PREFECT_HOME.

    \b
    Examples:
      tastemaker flows server
      tastemaker flows server --port 4300
    """
    import os
    import sys
    from importlib.util import find_spec

    from tastemaker_pipelines.flows.serve import keep_quiet

    if find_spec("prefect") is None:
        raise ModuleNotFoundError("No module named 'prefect'", name="prefect")
    keep_quiet()
    words = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *words])


def _plain(work: PendingWork) -> dict[str, Any]:
    due = None if work.due_at is None else work.due_at.isoformat()
    return {"number": work.number, "title": work.title, "waits_for": work.waits_for, "due_at": due}
