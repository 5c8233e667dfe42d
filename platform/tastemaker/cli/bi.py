"""`tastemaker bi`: the database's views, for Superset, Metabase and other BI tools."""

from __future__ import annotations

import os

import click

PASSWORD_VARIABLE = "TASTEMAKER_BI_PASSWORD"


@click.group()
def bi() -> None:
    """Prepare the metadata database for BI tools.

    \b
    Examples:
      tastemaker bi role       let the role tastemaker_bi read the views, and nothing else (Postgres)
    """


@bi.command()
def role() -> None:
    """Let the role tastemaker_bi read the views, and nothing else.

    The views are v1_models, v1_daily and others of a metadata database on Postgres. The environment
    variable TASTEMAKER_BI_PASSWORD has the role's password. Without it, a new role has no password, and an
    existing one keeps its own. Run it again after an upgrade: new views are then granted, too.

    \b
    Examples:
      tastemaker bi role
    """
    from tastemaker.settings import load_settings
    from tastemaker.storage.bi_role import ROLE, grant_bi_role
    from tastemaker.storage.engine import open_engine

    engine = open_engine(load_settings().metadata_url)
    found = grant_bi_role(engine, os.environ.get(PASSWORD_VARIABLE) or None)
    click.echo(f"{ROLE} may read {len(found)} views and nothing else: {', '.join(found)}")
