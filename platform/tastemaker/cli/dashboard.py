"""`tastemaker dashboard`: the web pages for people who don't read code."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", help="Address to listen on; default: dashboard.host.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port to listen on; default: dashboard.port.")
def dashboard(host: str | None, port: int | None) -> None:
    """Serve the performance dashboard.

    It reads the metadata database, in which jobs store their figures; it needs neither the prediction service
    nor another host.

    \b
    Examples:
      tastemaker dashboard
      tastemaker dashboard --port 8080
      TASTEMAKER_DASHBOARD__HOST=0.0.0.0 tastemaker dashboard
    """
    from tastemaker.dashboard.server import serve
    from tastemaker.settings import load_settings

    settings = load_settings()
    serve(settings, host or settings.dashboard.host, port or settings.dashboard.port)
