"""`tastemaker forget`: erase a person, and prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.privacy.forget import Proof


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("user_id")
@click.option("--check", is_flag=True, help="Erase nothing; only say where they are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every place that was searched.")
def forget(user_id: str, check: bool, as_json: bool) -> None:
    """Erase USER_ID from everything that is kept.

    That is: logs, lake, features, online store, reports and old model versions. Then everything is searched
    again. Exit status 1 if anything remains: a version in use keeps the ids that it knows until models are
    trained anew (tastemaker run); then forget again.

    \b
    Examples:
      tastemaker forget 17850
      tastemaker forget 17850 --check
      tastemaker forget 17850 --json | jq .remains
    """
    from rich.console import Console

    from tastemaker.privacy import forget as forgetting
    from tastemaker.settings import load_settings

    settings = load_settings()
    with Console(stderr=True).status("searching every file and table"):
        if check:
            proof = forgetting.Proof([], forgetting.search(settings, forgetting.person_of(settings, user_id)))
        else:
            proof = forgetting.forget(settings, user_id)
    click.echo(_as_json(proof)) if as_json else _show(proof, check)
    if proof.remains:
        raise click.exceptions.Exit(1)


def _as_json(proof: Proof) -> str:
    parts = {"erased": proof.erased, "remains": proof.remains, "searched": proof.searched}
    return strict_json.dumps({name: [place._asdict() for place in places] for name, places in parts.items()})


def _show(proof: Proof, check: bool) -> None:
    for place in proof.erased:
        click.echo(f"erased    {place.place}: {place.found:,} {place.how}")
    for place in proof.remains:
        click.echo(f"{'found' if check else 'remains':9} {place.place}: {place.found:,} {place.how}")
    looked_at = sum(place.looked_at for place in proof.searched)
    click.echo(f"searched  {len(proof.searched):,} places, {looked_at:,} rows, values and bytes")
    if not proof.remains:
        click.echo("nothing of them remains" if not check else "nothing of them is there")
    elif not check:
        _advise([place.place for place in proof.remains])


def _advise(places: list[str]) -> None:
    """What to do about the places where they remain."""
    in_models = sum(place.startswith("artifacts/") for place in places)
    if in_models:
        told = (
            "champions and each model's deployed and newest versions are in use, "
            "and keep the ids that they were trained on"
        )
        fix = "train anew (tastemaker run), go over to what was trained, then forget again"
        click.echo(f"{told}\n  fix: {fix}", err=True)
    if in_models < len(places):
        told = "what else remains is in files or tables that are not the platform's to change"
        click.echo(f"{told}\n  fix: delete it there yourself, then forget again", err=True)
