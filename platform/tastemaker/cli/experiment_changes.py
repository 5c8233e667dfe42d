"""`tastemaker experiment start`, `step`, `hold`, `ship` and so on: what people do with an experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.names import Name
from tastemaker.cli.person import by_option, person
from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.experiments.lifecycle.audit import Change
    from tastemaker.workflows.workspace import Workspace

_Command = Callable[..., None]
_Decorator = Callable[[_Command], _Command]
_PLANNED = "as planned"
"""The reason of a change that the design foresees, unless the person gives another."""

_name_argument = click.argument("name")
_reason_option = click.option("--reason", required=True, help="Why, in a few words; it is recorded.")
_planned_option = click.option(
    "--reason", default=_PLANNED, show_default=True, help="Why, in a few words; it is recorded."
)
_seen_option = click.option(
    "--seen",
    type=int,
    metavar="CHANGES",
    help="How many changes `show` has shown you; with others since, nothing is done.",
)


def _confirm_option(guards: str) -> _Decorator:
    return click.option(
        "--confirm",
        "confirmed",
        multiple=True,
        type=Name(),
        metavar="GUARD",
        help=f"Do without {guards}; it is recorded. May be given more than once.",
    )


def _change_command(reason: _Decorator) -> Callable[[Callable[[], None]], click.Command]:
    """Return a decorator that makes a command of an action that needs nothing but a reason.

    Args:
        reason: Adds the option of the reason.
    """

    def make(described: Callable[[], None]) -> click.Command:
        action = described.__name__

        def run(name: str, reason: str, by: str | None, seen: int | None, as_json: bool) -> None:
            _change(name, action, reason, by, seen, as_json)

        for add in (as_json_option, _seen_option, by_option, reason, _name_argument):
            run = add(run)
        return click.command(action.replace("_", "-"), help=described.__doc__)(run)

    return make


@click.command()
@_name_argument
@_planned_option
@by_option
@_seen_option
@as_json_option
def ready(name: str, reason: str, by: str | None, seen: int | None, as_json: bool) -> None:
    """Check the design of NAME, and claim its units.

    Each variant's version is loaded and answers its golden requests. `start` does all this, too.

    \b
    Examples:
      tastemaker experiment ready ranker-2
    """
    from tastemaker.workflows.experiments import make_ready
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    change = make_ready(workspace, name, actor=person(by), reason=reason, expected_changes=seen)
    _print_with_warnings(workspace, change, as_json)


@click.command()
@_name_argument
@_planned_option
@_confirm_option("aa (an A/A experiment that passed)")
@by_option
@_seen_option
@as_json_option
def start(
    name: str, reason: str, confirmed: tuple[str, ...], by: str | None, seen: int | None, as_json: bool
) -> None:
    """Start NAME: enrol the units of its first step.

    A draft is made ready before: its design is checked, its units are claimed and forecasts are stored.

    \b
    Examples:
      tastemaker experiment start ranker-2
      tastemaker experiment start ranker-2 --confirm aa
    """
    from tastemaker.workflows.experiments import make_ready
    from tastemaker.workflows.workspace import Workspace

    workspace, actor = Workspace.open(), person(by)
    if workspace.experiments.get(name).state == "draft":
        change = make_ready(workspace, name, actor=actor, reason=reason, expected_changes=seen)
        seen = change.number
    change = workspace.experiments.change(
        name, "start", actor=actor, reason=reason, expected_changes=seen, confirmed=confirmed
    )
    _print_with_warnings(workspace, change, as_json)


@click.command()
@_name_argument
@_planned_option
@_confirm_option("duration (the step's shortest time) or guardrails (all safe)")
@by_option
@_seen_option
@as_json_option
def step(
    name: str, reason: str, confirmed: tuple[str, ...], by: str | None, seen: int | None, as_json: bool
) -> None:
    """Enrol more units: take the next step of NAME.

    No unit changes its variant. Refused while a guardrail is not safe, a variant has too few units, or the
    step has not lasted long enough.

    \b
    Examples:
      tastemaker experiment step ranker-2
      tastemaker experiment step ranker-2 --confirm duration --reason "few users in the summer"
    """
    _change(name, "step", reason, by, seen, as_json, confirmed=confirmed)


@_change_command(_reason_option)
def hold() -> None:
    """Enrol no more units in NAME; those in it keep their variants.

    Units are those that the log of this machine has seen, drained or not.

    \b
    Examples:
      tastemaker experiment hold ranker-2 --reason "wait for the purchases"
    """


@_change_command(_reason_option)
def resume() -> None:
    """Enrol units in NAME again, after a hold.

    \b
    Examples:
      tastemaker experiment resume ranker-2 --reason "the log is complete again"
    """


@click.command("new-epoch")
@_name_argument
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file with the changed design.  [default: the design stays]",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_reason_option
@by_option
@_seen_option
@as_json_option
def new_epoch(
    name: str, file: Path | None, yes: bool, reason: str, by: str | None, seen: int | None, as_json: bool
) -> None:
    """Begin a new epoch of NAME: assign all units again.

    It is how ratios or a repaired variant change, and how an experiment that was rolled back runs again. The
    figures of the epochs stay apart.

    \b
    Examples:
      tastemaker experiment new-epoch ranker-2 --reason "the features are fixed"
      tastemaker experiment new-epoch ranker-2 --from ranker-2.yaml --reason "a third for b" --yes
    """
    from tastemaker.experiments.design_file import read_design_file
    from tastemaker.workflows.experiments import begin_epoch
    from tastemaker.workflows.workspace import Workspace

    design = None if file is None else read_design_file(file)
    workspace = Workspace.open()
    experiments = workspace.experiments
    found = experiments.require_possible(name, "new_epoch", actor=person(by))
    if not yes:
        effect = next(one.effect for one in experiments.next_actions(name) if one.action == "new_epoch")
        click.confirm(f"this {effect}. Do it?", abort=True, err=True)
    change = begin_epoch(
        workspace,
        name,
        actor=person(by),
        reason=reason,
        design=design,
        expected_changes=found.changes if seen is None else seen,
    )
    _print_with_warnings(workspace, change, as_json)


@_change_command(_reason_option)
def roll_back() -> None:
    """Give all units of NAME the default. Only a new epoch leads back.

    \b
    Examples:
      tastemaker experiment roll-back ranker-2 --reason "b shows items that are sold out"
    """


@click.command()
@_name_argument
@_reason_option
@by_option
@as_json_option
def kill(name: str, reason: str, by: str | None, as_json: bool) -> None:
    """Give all units of NAME the default at once.

    It acts within two seconds, also without the database.

    The plan file is changed first. The change is recorded as soon as the database answers: now, or with the
    next command that changes an experiment.

    \b
    Examples:
      tastemaker experiment kill ranker-2 --reason "b answers with errors"
    """
    from tastemaker.errors import TastemakerError
    from tastemaker.experiments.lifecycle import kills
    from tastemaker.settings import load_settings
    from tastemaker.workflows.workspace import Workspace

    settings = load_settings()
    kills.kill(settings.experiments_root, name, person(by), reason)
    trouble = None
    try:
        Workspace(settings).experiments.settle_kills()
    except TastemakerError as error:
        trouble = error.problem
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json({"experiment": name, "killed": True, "recorded": trouble is None, "trouble": trouble})
        return
    click.echo(f"{name} is killed: all its units get the default")
    if trouble is not None:
        click.echo(f"not recorded yet: {trouble}", err=True)


@_change_command(_planned_option)
def stop() -> None:
    """Stop NAME: give all units the default.

    Its buckets are released, and stay free for the namespace's cool-down.

    \b
    Examples:
      tastemaker experiment stop ranker-2
    """


@click.command()
@_name_argument
@click.argument("variant")
@_reason_option
@_confirm_option("verdict (a difference that was found)")
@by_option
@_seen_option
@as_json_option
def ship(
    name: str,
    variant: str,
    reason: str,
    confirmed: tuple[str, ...],
    by: str | None,
    seen: int | None,
    as_json: bool,
) -> None:
    """End NAME with VARIANT: make its version the champion.

    Only after a planned look that found it better, or at the end. If the offline comparison does not agree,
    the promotion freezes automatic promotion. A flag of the shop's own code has no version: the decision is
    recorded.

    \b
    Examples:
      tastemaker experiment ship ranker-2 b --reason "3 % more reward per user"
    """
    from tastemaker.workflows.experiments import ship_variant
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    change, promotion = ship_variant(
        workspace,
        name,
        variant,
        actor=person(by),
        reason=reason,
        confirmed=confirmed,
        expected_changes=seen,
    )
    more = {} if promotion is None else {"champion": promotion.version_id, "freezes": promotion.freezes}
    _print(workspace, change, as_json, **more)


@_change_command(_reason_option)
def drop() -> None:
    """End NAME with control: nothing changes for the users.

    \b
    Examples:
      tastemaker experiment drop ranker-2 --reason "no difference after 14 looks"
    """


@_change_command(_planned_option)
def archive() -> None:
    """Archive NAME, once it is decided or if it never ran.

    \b
    Examples:
      tastemaker experiment archive ranker-2
    """


def _change(
    name: str, action: str, reason: str, by: str | None, seen: int | None, as_json: bool, **more: Any
) -> None:
    """Change an experiment and print the change."""
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    change = workspace.experiments.change(
        name, action, actor=person(by), reason=reason, expected_changes=seen, **more
    )
    _print(workspace, change, as_json)


def _print_with_warnings(workspace: Workspace, change: Change, as_json: bool) -> None:
    """Print a change, and what the design names and the log does not carry."""
    from tastemaker.workflows.experiment_draft import uncarried_names

    warnings = uncarried_names(workspace, workspace.experiments.get(change.experiment).design)
    for warning in () if as_json else warnings:
        click.echo(f"! {warning}")
    _print(workspace, change, as_json, **({"warnings": warnings} if as_json else {}))


def _print(workspace: Workspace, change: Change, as_json: bool, **more: Any) -> None:
    """Print a change, and what may be done next."""
    found = workspace.experiments.next_actions(change.experiment)
    if as_json:
        from tastemaker.cli.json_output import print_json

        next_ones = [one.action for one in found if one.is_allowed]
        said = change._asdict() | {"at": change.at.isoformat(), **more, "next": next_ones}
        print_json(said)
        return
    from tastemaker.experiments.plan import percentage

    share = f", {percentage(change.enrolment)} of the units enrolled" if change.to_state == "running" else ""
    click.echo(f"{change.experiment}: {change.to_state}{share}")
    for key, value in more.items():
        click.echo(f"{key}: {value}")
    for one in found:
        if one.is_allowed:
            click.echo(f"next: {one.command}")
