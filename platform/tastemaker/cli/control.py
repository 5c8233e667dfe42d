"""`tastemaker control`: answer requests by the services of the experiments' plan."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from tastemaker.cli.serve import listens, require_free, warn_without_keys
from tastemaker.errors import TastemakerError

if TYPE_CHECKING:
    from tastemaker.settings import Settings

CONTROLLER = "tastemaker.controller.bento_service:Controller"


@click.command()
@listens
def control(host: str, port: int, workers: int) -> None:
    """Answer requests by the services of the experiments' plan.

    Each unit of an experiment gets the service of its variant, other users the default service. The services
    whose address is a Unix socket are started and stopped as the plan changes.

    The plan is HOME/experiments/plan.json; a change acts within two seconds, in all workers. If there is no
    plan, it is compiled: the champion answers all users.

    \b
    Examples:
      tastemaker control
      tastemaker control --port 3001 --workers 2
      curl -X POST localhost:3000/recommend -d '{"user_id": "17850", "k": 5}'
    """
    from tastemaker.serving.runtime.server_command import server_command, server_environment
    from tastemaker.settings import load_settings

    settings = load_settings()
    require_free(host, port)
    _compile_missing_plan(settings)
    click.echo(f"the controller answers on http://{host}:{port}", err=True)
    warn_without_keys(settings, host)
    environment = server_environment(settings.home, "controller", workers)
    os.execve(sys.executable, server_command(CONTROLLER, host, port), environment)


def _compile_missing_plan(settings: Settings) -> None:
    """Write the plan if there is none, so that users get the champion. What prevents it is printed."""
    from tastemaker.experiments.lifecycle.kills import PLAN
    from tastemaker.workflows.workspace import Workspace

    if (settings.experiments_root / PLAN).exists():
        return
    try:
        Workspace(settings).experiments.publish()
    except TastemakerError as error:
        click.echo(f"there is no plan, and it can't be compiled: {error.problem}", err=True)
