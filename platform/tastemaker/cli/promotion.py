"""`tastemaker models promote`, `rollback`, `unfreeze`, `deploy` and `backtest`: which version is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.person import by_option, person

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.registry.champion import Promotion
    from tastemaker.serving.runtime.running_services import RunningService
    from tastemaker.workflows.workspace import Workspace

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("version")
@click.option(
    "--force",
    "force_reason",
    metavar="REASON",
    help="Promote without the comparison; the reason is recorded.",
)
@by_option
@as_json_option
def promote(version: str, force_reason: str | None, by: str | None, as_json: bool) -> None:
    """Make VERSION the champion, which `tastemaker serve` serves.

    The version must be significantly better than the baseline and not worse than the champion, by backtests
    on the same users; the champion's recipe with newer data must not be worse than the baseline. Else it is
    refused, unless --force gives a reason. A forced promotion freezes automatic promotion. Running services
    that follow the champion switch within two seconds; the output lists them.

    \b
    Examples:
      tastemaker models promote 20260401-101500-123456-3f9a2c41d07e
      tastemaker models promote 20260401-101500-123456-3f9a2c41d07e --force "the campaign needs new items"
    """
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    figures = None if force_reason is None else _figures(workspace, version)
    promotion = workspace.promotion_gate.promote(version, force_reason=force_reason, actor=person(by))
    _print_promotion(workspace, promotion, as_json, figures=figures)


@click.command()
@click.argument("version")
def deploy(version: str) -> None:
    """Switch the running services of its model to VERSION.

    No request fails during the switch. To go back, deploy the previous version.

    Running services of that model notice within two seconds. Each tests the version first, and refuses it if
    a file is damaged or its answers differ from those recorded at registration. `promote` and `rollback`
    deploy, too. A service that follows the champion (`tastemaker serve` without a model) does not change.

    \b
    Examples:
      tastemaker models deploy 20260401-101500-123456-3f9a2c41d07e
    """
    from tastemaker.serving.runtime import golden_requests
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    registry = workspace.registry
    found = registry.get(version)
    golden_requests.check(registry.open(found))
    registry.deploy(found)
    click.echo(f"deployed: {found.model} {found.id}")
    for line in _services_said(workspace, found, promoted=False):
        click.echo(line, err=True)


@click.command()
@click.option("--reason", required=True, help="The reason, which is recorded.")
@click.option("--problem", help="The problem's name.  [default: the problem in use]")
@by_option
@as_json_option
def rollback(reason: str, problem: str | None, by: str | None, as_json: bool) -> None:
    """Make the previous champion the champion again.

    Automatic promotion is then frozen, so that the next run does not promote the same version again, until a
    version is promoted without --force or `tastemaker models unfreeze` is run.

    \b
    Examples:
      tastemaker models rollback --reason "clicks fell by a third since noon"
    """
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    promotion = workspace.registry.rollback(problem or workspace.problem.name, reason, person(by))
    _print_promotion(workspace, promotion, as_json)


@click.command()
@click.option("--reason", required=True, help="The reason, which is recorded.")
@click.option("--problem", help="The problem's name.  [default: the problem in use]")
@by_option
@as_json_option
def unfreeze(reason: str, problem: str | None, by: str | None, as_json: bool) -> None:
    """Allow automatic promotion again after a rollback.

    A forced promotion freezes automatic promotion, too. The champion stays until the next run finds a
    better version.

    \b
    Examples:
      tastemaker models unfreeze --reason "the prices are fixed"
    """
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    entry = workspace.registry.unfreeze(problem or workspace.problem.name, reason, person(by))
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json(vars(entry) | {"at": entry.at.isoformat(timespec="seconds")})
        return
    click.echo(f"automatic promotion of {entry.problem!r} is no longer frozen: {entry.reason}")
    click.echo(f"champion: {entry.version_id}")


@click.command()
@click.argument("version")
@as_json_option
def backtest(version: str, as_json: bool) -> None:
    """Backtest VERSION's model and config on the current data.

    `tastemaker models promote` compares versions by these backtests.

    \b
    Examples:
      tastemaker models backtest 20260401-101500-123456-3f9a2c41d07e
    """
    from tastemaker.evaluation.leaderboard.formatting import number, span
    from tastemaker.evaluation.results import to_json
    from tastemaker.workflows.promote import backtest_of
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    found = backtest_of(workspace, workspace.registry.get(version))
    figure = found.metrics[workspace.problem.metric]
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json({"version": version, "backtest": found.id, workspace.problem.metric: to_json(figure)})
        return
    click.echo(
        f"{found.model} {version}: {workspace.problem.metric} {number(figure.value)} "
        f"(95 % interval {span(figure)}, {found.users:,} users)"
    )


def _figures(workspace: Workspace, version: str) -> str:
    """Return the comparison that a forced promotion skips, in words."""
    from tastemaker.errors import RegistryError

    try:
        return str(workspace.promotion_gate.test(workspace.registry.get(version)))
    except RegistryError as error:
        return error.problem


def note_freeze(workspace: Workspace) -> None:
    """Print whether automatic promotion of the problem in use is frozen, and how to end that.

    Prints nothing, and creates nothing, where there is no problem file or no database yet.
    """
    from tastemaker.errors import TastemakerError
    from tastemaker.registry.champion import frozen_said

    settings = workspace.settings
    lacking = settings.database_url is None and not (settings.home / "tastemaker.db").exists()
    if lacking or not settings.problem.exists():
        return
    try:
        entry = workspace.registry.frozen(workspace.problem.name)
    except TastemakerError:  # reported by the commands that need the database
        return
    if entry is not None:
        click.echo(frozen_said(entry), err=True)


def _print_promotion(
    workspace: Workspace, promotion: Promotion, as_json: bool, *, figures: str | None = None
) -> None:
    """Print a promotion; `figures` is the comparison that a forced one skipped."""
    from tastemaker.registry.champion import frozen_said

    version = workspace.registry.get(promotion.version_id)
    if as_json:
        from tastemaker.cli.json_output import print_json

        said = vars(promotion) | {"at": promotion.at.isoformat(timespec="seconds"), "model": version.model}
        services = [*map(_service, _services(workspace, version, promoted=True))]
        print_json(said | {"figures": figures, "freezes": promotion.freezes, "services": services})
        return
    forced = ", forced" if promotion.forced else ""
    click.echo(f"champion of {promotion.problem!r}: {promotion.version_id} ({promotion.action}{forced})")
    click.echo(f"model: {version.model}")
    click.echo(f"reason: {promotion.reason}")
    if figures is not None:
        click.echo(f"figures: {figures}")
    if promotion.freezes:
        click.echo(frozen_said(promotion))
    for line in _services_said(workspace, version, promoted=True):
        click.echo(line)


def _services(workspace: Workspace, version: Version, *, promoted: bool) -> list[tuple[RunningService, bool]]:
    """Return the running services of the home folder, and whether each switches to the version."""
    from tastemaker.serving.runtime.running_services import running

    return [
        (
            one,
            one.serves(version.model, version.problem)
            or (promoted and one.follows_champion(version.problem)),
        )
        for one in running(workspace.settings.home)
    ]


def _services_said(workspace: Workspace, version: Version, *, promoted: bool) -> list[str]:
    """Return one line per service: whether it switches to the version, else why not."""
    found = _services(workspace, version, promoted=promoted)
    if not found:
        return ["no service of this home folder runs on this machine: tastemaker serve starts one"]
    return [
        f"switches: {_named(service)}" if follows else f"does not switch: {_named(service)}, because {why}"
        for service, follows in found
        for why in [_why_not(service, version)]
    ]


def _named(service: RunningService) -> str:
    of = "that follows the champion" if service.model is None else f"of {service.model}"
    return f"the service {of} on {service.address} (process {service.process})"


def _why_not(service: RunningService, version: Version) -> str:
    if service.problem not in (None, version.problem):
        return f"it serves the problem {service.problem!r}"
    if service.model is None:
        return "it serves the champion, not a deployed version"
    follow = "to follow the champion, start it as tastemaker serve, without a model"
    return f"it serves {service.model} only; {follow}"


def _service(found: tuple[RunningService, bool]) -> dict[str, Any]:
    service, follows = found
    return {
        "address": service.address,
        "process": service.process,
        "model": service.model,
        "problem": service.problem,
        "follows": follows,
    }
