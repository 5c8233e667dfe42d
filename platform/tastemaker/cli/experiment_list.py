"""`tastemaker experiment list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.experiments.result import ExperimentListing


@click.command("list")
@click.option("--all", "with_archived", is_flag=True, help="Also those that are archived.")
@as_json_option
def list_experiments(with_archived: bool, as_json: bool) -> None:
    """List the experiments, the newest first, with their results.

    \b
    Examples:
      tastemaker experiment list
      tastemaker experiment list --json | jq '.[] | select(.state == "running") | .name'
    """
    from tastemaker.experiments.result import read_listings
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine

    listed = read_listings(open_engine(load_settings().metadata_url))
    found = [one for one in listed if with_archived or one.experiment.state != "archived"]
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json([summary(one) for one in found])
        return
    for one in found:
        step = f"  {one.step}" if one.experiment.is_active else ""
        click.echo(f"{one.experiment.name}  {one.experiment.state}{step}  {one.sentence}")
    if not found:
        click.echo("no experiment; make one: tastemaker experiment new NAME")


def summary(listing: ExperimentListing) -> dict[str, Any]:
    """Return an experiment in a list as JSON."""
    import msgspec

    found = listing.experiment
    return {
        "name": found.name,
        "kind": found.kind,
        "namespace": found.namespace,
        "problem": found.problem,
        "owner": found.owner,
        "created_at": found.created_at.isoformat(),
        **found.standing._asdict(),
        "sentence": listing.sentence,
        "looks_taken": listing.looks_taken,
        "design": msgspec.to_builtins(listing.design),
    }
