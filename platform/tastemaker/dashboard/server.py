"""The dashboard's process."""

from __future__ import annotations

import logging

import click
import uvicorn

from tastemaker.dashboard.app import application
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.util.listening import listen


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the dashboard until a signal ends the process.

    Args:
        settings: All settings.
        host: Address to listen on.
        port: Port to listen on.

    Raises:
        TastemakerError: The address can't be used, or the database does not answer.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    engine = open_engine(settings.metadata_url)
    taken = "is another dashboard running here? Pass --port, or set dashboard.port"
    listener = listen(host, port, fix=taken)
    config = uvicorn.Config(
        application(settings, engine), log_level="warning", access_log=False, timeout_keep_alive=5,
        limit_concurrency=200, proxy_headers=False, server_header=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    click.echo(f"dashboard on http://{f'[{host}]' if ':' in host else host}:{port}/", err=True)
    uvicorn.Server(config).run([listener])
