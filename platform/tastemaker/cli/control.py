"""`tastemaker control`: answer requests by the services of the experiments' plan."""

from __future__ import annotations

import os
import sys

import click

from tastemaker.cli.serve import listens, require_free, warn_without_keys

CONTROLLER = "tastemaker.controller.bento_service:Controller"


@click.command()
@listens
def control(host: str, port: int, workers: int) -> None:
    """Answer requests by the services of the experiments' plan.

    Each unit of an experiment gets the service of its variant, other users the default service. The services
    whose address is a Unix socket are started and stopped as the plan changes.

    The plan is HOME/experiments/plan.json; a change acts within two seconds, in all workers.

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
    click.echo(f"the controller answers on http://{host}:{port}", err=True)
    warn_without_keys(settings, host)
    environment = server_environment(settings.home, "controller", workers)
    os.execve(sys.executable, server_command(CONTROLLER, host, port), environment)
