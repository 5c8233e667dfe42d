"""`tastemaker models`: the installed models, their checks and their trained versions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.json_output import print_json
from tastemaker.cli.promotion import (
    as_json_option,
    backtest,
    deploy,
    note_freeze,
    promote,
    rollback,
    unfreeze,
)
from tastemaker.cli.why_version import why

if TYPE_CHECKING:
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.registry import Version


@click.group()
def models() -> None:
    """List, check, promote and deploy models and their versions.

    \b
    Examples:
      tastemaker models list               list the installed models
      tastemaker models show ease          show its equation, reference and hyperparameters
      tastemaker models new my_model       create a folder for a model of your own
      tastemaker models check my_model     run the plugin checks on it
      tastemaker models versions           list the trained versions
      tastemaker models rebuild            read the versions back into a lost database
      tastemaker models promote VERSION    make a version the champion and deploy it
      tastemaker models rollback           make the previous champion the champion again
      tastemaker models unfreeze           allow automatic promotion again after a rollback
      tastemaker models deploy VERSION     deploy a version to the services of its model
      tastemaker models why VERSION        show why it was trained, and what became of it
    """


@models.command("list")
@as_json_option
def list_models(as_json: bool) -> None:
    """List the installed models, and why any can't be loaded.

    \b
    Examples:
      tastemaker models list
      tastemaker models list --json
    """
    from tastemaker.plugins.discovery import find
    from tastemaker.workflows.workspace import Workspace

    plugins = find()
    if as_json:
        print_json(
            {
                "models": [_summary(plugin) for plugin in plugins.sound],
                "broken": [broken._asdict() for broken in plugins.broken],
            }
        )
        return
    rows = [
        (
            one["name"],
            "yes" if one["personalizes"] else "no",
            f"{one['distribution']} {one['version']}",
            one["reference"],
        )
        for one in map(_summary, plugins.sound)
    ]
    _print_table(("model", "personal", "distribution", "reference"), rows)
    for broken in plugins.broken:
        click.secho(f"broken: {broken}", fg="red")
    note_freeze(Workspace.open())


@models.command("show")
@click.argument("name")
@as_json_option
def show(name: str, as_json: bool) -> None:
    """Show a model's equation, capabilities and hyperparameters.

    \b
    Examples:
      tastemaker models show ials
      tastemaker models show ials --json
    """
    from inspect import getdoc

    from tastemaker.plugins.discovery import get
    from tastemaker.plugins.search_space import search_space
    from tastemaker.workflows.workspace import Workspace

    plugin = get(name)
    space = search_space(plugin.recommender.config_type)
    config = Workspace.open().config(plugin).model_dump(mode="json")
    schema = plugin.recommender.config_type.model_json_schema().get("properties", {})
    if as_json:
        print_json(_summary(plugin) | {"config": config, "config_schema": schema})
        return
    click.secho(name, bold=True)
    click.echo(f"{getdoc(plugin.recommender)}\n")
    for label, value in _summary(plugin).items():
        click.echo(f"{label:>17}: {_plain(value)}")
    if config:
        click.echo()
        rows = [
            (
                field,
                str(config[field]),
                _allowed(schema[field]),
                str(space.get(field, "")),
                schema[field].get("description", ""),
            )
            for field in config
        ]
        _print_table(("hyperparameter", "value", "allowed", "searched", "meaning"), rows)


@models.command("new")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="The folder in which the new folder is created.",
)
def new(name: str, folder: Path) -> None:
    """Create a folder with a model that passes the checks.

    \b
    Examples:
      tastemaker models new my_model
      tastemaker models new my_model --folder ~/models
    """
    from tastemaker.plugins import scaffold

    created = scaffold.create_plugin(name, folder)
    source = created / f"tastemaker_{name}" / f"{name}.py"
    click.echo(f"created {created}; next:")
    click.echo(
        f"  pip install -e {created}  # adds it to the asset graph and the leaderboard; it can be served"
    )
    click.echo(f"  tastemaker models check {name}  # runs the plugin checks on it")
    click.echo(f"  edit {source}  # replace the placeholder by your equation")


@models.command("check")
@click.argument("name")
@as_json_option
@click.pass_context
def check(ctx: click.Context, name: str, as_json: bool) -> None:
    """Run the plugin checks on a model. The exit status is 1 if it fails one.

    \b
    Examples:
      tastemaker models check my_model
      tastemaker models check my_model --json
    """
    from tastemaker.plugins import checks
    from tastemaker.plugins.discovery import get

    results = checks.run_checks(get(name).recommender)
    failed = sum(result.verdict == "failed" for result in results)
    if as_json:
        print_json([result._asdict() for result in results])
    else:
        signs = {"passed": ("✓", "green"), "failed": ("✗", "red"), "exempt": ("–", "yellow")}
        for result in results:
            sign, colour = signs[result.verdict]
            detail = f": {result.detail}" if result.detail else ""
            click.echo(f"{click.style(sign, fg=colour)} {result.check.replace('_', ' ')}{detail}")
        click.echo(
            f"\n{name} " + (f"fails {failed} of {len(results)} checks" if failed else "passes the checks")
        )
    ctx.exit(1 if failed else 0)


@models.command("versions")
@click.argument("name", required=False)
@as_json_option
def versions(name: str | None, as_json: bool) -> None:
    """List the trained versions, newest first, champions with a *.

    \b
    Examples:
      tastemaker models versions
      tastemaker models versions ease --json
    """
    from tastemaker.registry.champion import frozen_said
    from tastemaker.registry.rebuild import lost
    from tastemaker.workflows.workspace import Workspace

    registry = Workspace.open().registry
    found = registry.list(name)
    problems = {version.problem for version in found}
    promoted = (registry.champion(problem) for problem in problems)
    champions = {version.id for version in promoted if version is not None}
    if as_json:
        print_json([_version(version, version.id in champions) for version in found])
    elif found:
        rows = (
            (
                ("* " if version.id in champions else "  ") + version.id,
                version.model,
                version.problem,
                f"{version.created_at:%Y-%m-%d %H:%M:%S}",
            )
            for version in found
        )
        _print_table(("  version", "model", "problem", "created (UTC)"), rows)
    else:
        click.echo("no version has been trained yet: tastemaker run trains every model")
    for entry in filter(None, map(registry.frozen, problems)):
        click.echo(f"{entry.problem!r}: {frozen_said(entry)}", err=True)
    if said := lost(registry.engine, registry.artifacts):
        click.echo(said, err=True)


@models.command("rebuild")
@as_json_option
def rebuild(as_json: bool) -> None:
    """Restore the versions in a lost database from their manifests.

    Damaged versions are skipped. Promotions are not restored: deployed versions stay deployed, and `models
    promote` or the next run makes a version the champion.

    \b
    Examples:
      tastemaker models rebuild
      tastemaker models rebuild --json
    """
    from tastemaker.registry import rebuild as rebuilding
    from tastemaker.workflows.workspace import Workspace

    registry = Workspace.open().registry
    found = rebuilding.rebuild(registry.engine, registry.artifacts)
    if as_json:
        print_json(found._asdict())
        return
    click.echo(f"versions restored: {len(found.added):,}; already in the database: {found.known:,}")
    for version_id in found.added:
        click.echo(f"  {version_id} {registry.get(version_id).model}")
    for reason in found.damaged:
        click.echo(f"skipped: {reason}", err=True)


def _summary(plugin: Plugin) -> dict[str, Any]:
    """Return a plugin's name, origin and capabilities, as JSON."""
    capabilities = plugin.recommender.capabilities
    return {
        "name": plugin.name,
        "reference": plugin.recommender.reference,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.entry_point,
        "personalizes": capabilities.personalizes,
        "learns_online": capabilities.learns_online,
        "order_independent": capabilities.order_independent,
        "stochastic": capabilities.stochastic,
        "user_features": list(capabilities.user_features),
        "item_features": list(capabilities.item_features),
        "exempt": capabilities.exempt,
    }


def _version(version: Version, is_champion: bool) -> dict[str, Any]:
    return {
        "id": version.id,
        "model": version.model,
        "problem": version.problem,
        "created_at": version.created_at.isoformat(timespec="seconds"),
        "content_hash": version.content_hash,
        "backtest_id": version.backtest_id,
        "champion": is_champion,
    }


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key.replace('_', ' ')} ({reason})" for key, reason in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)


def _allowed(schema: dict[str, Any]) -> str:
    """Return the allowed values of a hyperparameter in words, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(str(choice) for choice in schema["enum"])
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in limits.items() if key in schema]
    return " ".join([str(schema.get("type", "")), ", ".join(bounds)]).strip()


def _print_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)  # names and ids are for copying: never cut
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


for command in (promote, deploy, rollback, unfreeze, backtest, why):
    models.add_command(command)
