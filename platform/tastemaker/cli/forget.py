"""`tastemaker forget`: erase a user, and prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.privacy.forget import Proof


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("user_id")
@click.option("--check", is_flag=True, help="Erase nothing; only search, and list where the user was found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every place that was searched.")
def forget(user_id: str, check: bool, as_json: bool) -> None:
    """Erase USER_ID from all that the platform stores.

    Erases the user from the logs, the lake, features, the online store, reports and old model versions, then
    searches everything again. The exit status is 1 if anything remains: a version in use keeps the user ids
    that it was trained on. Retrain the models (tastemaker run), then run this command again.

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
        click.echo("nothing was found" if check else "nothing remains")
    elif not check:
        _advise([place.place for place in proof.remains])


def _advise(places: list[str]) -> None:
    """Print what to do about the places where the user remains."""
    in_models = sum(place.startswith("artifacts/") for place in places)
    in_requests = sum(place.startswith("erasure_requests/") for place in places)
    if in_requests:
        reason = "an open request for this erasure holds the user id until it is executed"
        click.echo(f"{reason}\n  fix: tastemaker erasure list, then approve or decline it", err=True)
    if in_models:
        reason = (
            "champions and each model's deployed and newest versions are in use, "
            "and keep the user ids that they were trained on"
        )
        fix = "retrain (tastemaker run), deploy the new versions, then run tastemaker forget again"
        click.echo(f"{reason}\n  fix: {fix}", err=True)
    if in_models + in_requests < len(places):
        reason = "the other places are files or tables that the platform does not own"
        click.echo(f"{reason}\n  fix: delete it there yourself, then run tastemaker forget again", err=True)
