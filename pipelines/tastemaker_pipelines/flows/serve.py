"""Serving the flows of a home folder: one process per home, with or without a Prefect server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock
from tastemaker.util.supervised_thread import SupervisedThread
from tastemaker.workflows.workspace import Workspace

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.deployments.runner import RunnerDeployment
    from prefect.runner import Runner

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""Prefect's client and server contact no other host, and neither does its page."""
MAX_RUNS = 2
"""Runs at a time; each is a process for some seconds."""


def keep_quiet() -> None:
    """Set the environment such that Prefect contacts no other host; call it before Prefect is imported."""
    os.environ.update(QUIET)


@contextmanager
def only_server(settings: Settings) -> Iterator[None]:
    """Be the only process that serves the flows of the home folder within the block.

    Raises:
        TastemakerError: Another process does.
    """
    try:
        with file_lock(settings.home / "flows.lock", wait=False):
            yield
    except BlockingIOError:
        raise TastemakerError(
            f"another process serves the flows of {settings.home}", fix="let it, or stop it first"
        ) from None


def serve(workspace: Workspace, poll: timedelta, say: Callable[[str], None]) -> None:
    """Serve the flows to the Prefect server at PREFECT_API_URL, until the process ends.

    Args:
        workspace: Of the home folder whose flows are served.
        poll: Time between two looks at work that waits for a time.
        say: Called once, with the line that says what is served.

    Raises:
        TastemakerError: There is no such server, or another process serves the flows.
    """
    keep_quiet()
    from prefect import runner as prefect_runner
    from prefect.types.entrypoint import EntrypointType

    from tastemaker_pipelines.flows import served
    from tastemaker_pipelines.flows.catalogue import FLOWS
    from tastemaker_pipelines.flows.keeper import CHECK_SECONDS, RunKeeper

    url, name = _server_url(), deployment_name(workspace.settings)
    with only_server(workspace.settings):
        runner = prefect_runner.Runner(
            name=name, query_seconds=CHECK_SECONDS, limit=MAX_RUNS, pause_on_shutdown=False
        )
        deployments = {}
        for flow in (served.rollout, served.erasure):
            described = FLOWS[flow.name].description
            made = flow.to_deployment(name, description=described, entrypoint_type=EntrypointType.MODULE_PATH)
            deployments[flow.name] = cast("UUID", runner.add_deployment(cast("RunnerDeployment", made)))
        keeper = SupervisedThread(RunKeeper(workspace, deployments, name, poll).run, name="flows")
        keeper.start()
        say(f"serving {', '.join(deployments)} to {url} as {name}")
        asyncio.run(_run_until_stopped(runner))


async def _run_until_stopped(runner: Runner) -> None:
    """Run a runner until SIGTERM or SIGINT; its own handler of SIGTERM does not wait for its end."""
    running = asyncio.ensure_future(runner.start())
    await asyncio.sleep(0)  # it has installed that handler
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def deployment_name(settings: Settings) -> str:
    """Return a name that differs between home folders: several may use one Prefect server."""
    home = settings.home.resolve()
    return f"{home.parent.name}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"


def _server_url() -> str:
    """Return the address of the Prefect server, which answers. Raises TastemakerError."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    start = "tastemaker flows server, and: export PREFECT_API_URL=http://127.0.0.1:4200/api; or pass --local"
    url = get_current_settings().api.url
    if url is None:
        raise TastemakerError("no Prefect server is configured: PREFECT_API_URL is not set", fix=start)
    with get_client(sync_client=True) as client:
        if (trouble := client.api_healthcheck()) is not None:
            raise TastemakerError(f"no Prefect server answers at {url}: {trouble}", fix=start)
    return url
