"""`tastemaker experiment new`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.names import Name
from tastemaker.cli.numbers import Number
from tastemaker.cli.person import by_option, person
from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.experiments.design import Design
    from tastemaker.experiments.plan import Unit
    from tastemaker.workflows.workspace import Workspace


@click.command()
@click.argument("name", required=False)
@click.option("--hypothesis", help="What you expect, and why, in a sentence.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    type=Name(),
    metavar="[NAME=]MODEL[@VERSION]",
    help="A model against the champion; repeatable. NAME control replaces the champion.",
)
@click.option("--recipes", is_flag=True, help="Variants follow their models as they are trained again.")
@click.option(
    "--flag",
    "flags",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variant of your own code; repeatable, control first.",
)
@click.option(
    "--share",
    "shares",
    multiple=True,
    metavar="NAME=SHARE",
    help="Such as b=0.3; repeatable. Those of all add up to 1, each rounded down.  [default: equal]",
)
@click.option(
    "--kind",
    type=click.Choice(["ab", "aa", "interleaving", "bandit", "shadow"]),
    default="ab",
    show_default=True,
    help="aa compares the champion with itself.",
)
@click.option("--namespace", help="Whose units it shares.  [default: experiments.namespace of the settings]")
@click.option("--primary", help="The metric that decides.  [default: reward_per_user]")
@click.option(
    "--effect",
    type=Number(0, 10, min_open=True),
    help="The smallest relative difference that matters.  [default: 0.02]",
)
@click.option(
    "--planned-units",
    type=click.IntRange(1),
    help="Mature units at the last look.  [default: planned from the log]",
)
@click.option("--looks", type=click.IntRange(1, 100), help="Planned looks.  [default: 14]")
@click.option(
    "--window-days",
    type=Number(0, 365, min_open=True),
    help="Days that a unit's events count.  [default: the problem's longest window]",
)
@click.option("--claim", metavar="SHARE", help="Share of the namespace, such as '50 %'.  [default: 100 %]")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take the whole design from this YAML file; other options are not allowed.",
)
@by_option
@as_json_option
@click.pass_context
def new(
    context: click.Context,
    /,
    name: str | None,
    file: Path | None,
    by: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write the draft of an experiment NAME, and check it.

    All but the variants and the hypothesis has a default. A namespace that does not exist is made, with users
    as units. Nothing is written if the design has a mistake.

    \b
    Examples:
      tastemaker experiment new ranker-2 --variant ranker --hypothesis "it earns 2 % more"
      tastemaker experiment new aa-home --kind aa --hypothesis "no difference"
      tastemaker experiment new badge --flag off=false --flag on=true --hypothesis "more clicks"
      tastemaker experiment new --from ranker-2.yaml
    """
    from tastemaker.workflows.experiment_draft import planned, uncarried_names
    from tastemaker.workflows.workspace import Workspace

    workspace, actor = Workspace.open(), person(by)
    is_planned = file is not None or given["planned_units"] is not None
    design = _from_options(workspace, name, actor, given) if file is None else _from_file(context, name, file)
    experiments = workspace.experiments
    is_known = design.namespace in {one.name for one in experiments.namespaces()}
    unit: Unit | None = None if is_known else "user"
    experiments.check(design, unit)
    design, traffic = (design, None) if is_planned else planned(workspace, design)
    experiments.create(design, actor, new_unit=unit)
    warnings = uncarried_names(workspace, design)
    if as_json:
        import msgspec

        from tastemaker.cli.json_output import print_json

        print_json(msgspec.to_builtins(design) | {"state": "draft", "traffic": traffic, "warnings": warnings})
        return
    click.echo(f"draft of {design.name}: {', '.join(design.variants)} in the namespace {design.namespace}")
    if traffic is not None:
        click.echo(traffic)
    for warning in warnings:
        click.echo(f"! {warning}")
    click.echo(f"next: tastemaker experiment start {design.name}")


def _from_file(context: click.Context, name: str | None, file: Path) -> Design:
    """Read the design. Raises TastemakerError if other options are given, too."""
    from tastemaker.errors import TastemakerError
    from tastemaker.experiments.design_file import read_design_file

    own = {"name", "file", "by", "as_json"}
    source = click.core.ParameterSource.COMMANDLINE
    others = [key for key in context.params if key not in own and context.get_parameter_source(key) == source]
    if others:
        raise TastemakerError(
            f"--from takes the whole design, so {', '.join(others)} can't be given",
            fix=f"change it in {file}",
        )
    design = read_design_file(file)
    if name not in (None, design.name):
        raise TastemakerError(f"{file} designs {design.name}, not {name}", fix="leave the name out")
    return design


def _from_options(workspace: Workspace, name: str | None, owner: str, given: dict[str, Any]) -> Design:
    """Build the design. Raises TastemakerError if something necessary is missing."""
    from tastemaker.errors import TastemakerError
    from tastemaker.experiments.design_file import buckets
    from tastemaker.workflows import experiment_draft

    if not name:
        raise TastemakerError(
            "the experiment has no name", fix="tastemaker experiment new NAME, or --from FILE"
        )
    if not given["hypothesis"]:
        raise TastemakerError(
            f"{name} has no hypothesis", fix="pass --hypothesis 'it earns 2 % more, because'"
        )
    models, flags, kind = given.pop("variants"), given.pop("flags"), given["kind"]
    if flags and (models or given["recipes"]):
        raise TastemakerError("an experiment is over models or over a flag", fix="leave --flag out")
    named = (
        experiment_draft.flag_variants(flags)
        if flags
        else experiment_draft.named_variants(workspace, models, kind)
    )
    if given.pop("recipes"):
        named = experiment_draft.as_recipes(workspace, named)
    variants = experiment_draft.with_shares(named, _shares(given.pop("shares")))
    given["minimum_effect"] = given.pop("effect")
    if given["claim"] is not None:
        given["claim"] = buckets(given["claim"], "--claim")
    return experiment_draft.draft(workspace, name, variants, owner=owner, **given)


def _shares(texts: Sequence[str]) -> dict[str, float]:
    from tastemaker.errors import TastemakerError

    found: dict[str, float] = {}
    for name, share in map(_share, texts):
        if name in found:
            raise TastemakerError(f"--share of {name} is given twice", fix="give it once")
        found[name] = share
    return found


def _share(text: str) -> tuple[str, float]:
    from tastemaker.errors import TastemakerError

    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise TastemakerError(f"--share {text!r} is not NAME=SHARE, 0 to 1", fix="write it as b=0.3")
    return name, share
