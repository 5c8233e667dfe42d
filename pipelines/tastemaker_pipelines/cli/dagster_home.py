"""`tastemaker dagster-home`: create Dagster's instance, and print its folder."""

from __future__ import annotations

import click


@click.command("dagster-home", context_settings={"help_option_names": ["-h", "--help"]})
def dagster_home() -> None:
    """Print the folder of Dagster's data.

    It is created with its dagster.yaml and its tables if it is missing. Dagster's own commands read
    dagster.yaml before any code of Tastemaker, so that they need the folder in the variable DAGSTER_HOME.

    \b
    Examples:
      tastemaker dagster-home
      export DAGSTER_HOME=$(tastemaker dagster-home)
    """
    from tastemaker.settings import load_settings
    from tastemaker_pipelines import instance

    settings = load_settings()
    with instance.open_instance(settings):
        click.echo(instance.dagster_home(settings).resolve())
