"""`tastemaker experiment force`."""

from __future__ import annotations

import click

from tastemaker.cli.person import by_option, person


@click.command()
@click.argument("name")
@click.argument("unit")
@click.argument("variant", required=False)
@click.option("--remove", is_flag=True, help="Let the plan decide about it again.")
@click.option("--reason", default="to look at it", show_default=True, help="Why; it is recorded.")
@by_option
def force(name: str, unit: str, variant: str | None, remove: bool, reason: str, by: str | None) -> None:
    """Force a unit of NAME into a variant, to look at it.

    UNIT is the id of a user, device or session, as the experiment's namespace assigns them. What it does is
    logged and not analysed. Controllers act by it within two seconds. Who forced it is recorded, without the
    id of the unit.

    \b
    Examples:
      tastemaker experiment force ranker-2 u0000001 b
      tastemaker experiment force ranker-2 u0000001 --remove
    """
    from tastemaker.errors import TastemakerError
    from tastemaker.experiments.assignment import forced_key
    from tastemaker.experiments.lifecycle.records import read_experiment
    from tastemaker.privacy.pseudonyms import open_pseudonyms
    from tastemaker.snapshot.canonical_ids import canonical
    from tastemaker.util.spelling import did_you_mean
    from tastemaker.workflows.workspace import Workspace

    if not unit.strip():
        raise TastemakerError("the unit has no id", fix="pass the id of a user, device or session")
    if (variant is None) != remove:
        raise TastemakerError("neither or both of VARIANT and --remove are given", fix="give one of them")
    workspace = Workspace.open()
    experiments = workspace.experiments
    with experiments.engine.connect() as connection:
        found = read_experiment(connection, name)
    names = list(found.design.variants)
    if variant is not None and variant not in names:
        fix = did_you_mean(variant, names, f"name one of: {', '.join(names)}")
        raise TastemakerError(f"{name} has no variant {variant!r}", fix=fix)
    space = next(one for one in experiments.namespaces() if one.name == found.namespace)
    form = canonical(unit, workspace.settings.source.ids) if space.unit == "user" else unit
    hidden = open_pseudonyms(workspace.settings)
    key = forced_key(space.salt, hidden.of_unit(form) if hidden else form)
    before = experiments.force(name, key, variant, actor=person(by), reason=reason)
    if variant is not None:
        click.echo(f"{space.unit} {unit} gets {variant} of {name}; it is not analysed")
    else:
        click.echo(f"{space.unit} {unit} was {'forced into ' + before if before else 'not forced'}")
