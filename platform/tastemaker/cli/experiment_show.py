"""`tastemaker experiment show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Row

    from tastemaker.experiments.design import VariantDesign
    from tastemaker.experiments.lifecycle.next_actions import NextAction
    from tastemaker.experiments.result import ExperimentResult


@click.command()
@click.argument("name")
@click.option("--design", "only_design", is_flag=True, help="Print the design as YAML, and nothing else.")
@as_json_option
def show(name: str, only_design: bool, as_json: bool) -> None:
    """Show NAME: its result, its state, and what may be done next.

    \b
    Examples:
      tastemaker experiment show ranker-2
      tastemaker experiment show ranker-2 --json | jq '.next[] | select(.allowed) | .command'
      tastemaker experiment show ranker-2 --design > ranker-2.yaml
    """
    from tastemaker.experiments.carried import uncarried
    from tastemaker.experiments.design_file import design_text
    from tastemaker.experiments.lifecycle.states import ACTIVE
    from tastemaker.experiments.result import read_result
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    experiments = workspace.experiments
    actions = experiments.next_actions(name)
    result = read_result(experiments.engine, name)
    if only_design:
        click.echo(design_text(result.design), nl=False)
        return
    is_over = result.experiment.state not in ("draft", "ready", *ACTIVE)
    concerns = result.concerns()
    concerns += [] if is_over else uncarried(workspace.lake, result.design, result.read_at)
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json(_to_json(result, concerns, actions))
        return
    for line in _lines(result, concerns, actions):
        click.echo(line)


def _to_json(
    result: ExperimentResult, concerns: Sequence[str], actions: Sequence[NextAction]
) -> dict[str, Any]:
    from tastemaker.cli.experiment_list import summary

    return summary(result) | {
        "unit": result.unit,
        "concerns": concerns,
        "waiting": result.waiting,
        "looks": [_row(one) for one in result.looks],
        "effects": [_row(one) for one in result.effects],
        "guardrails": [_row(one) for one in result.checks],
        "forecasts": [one._asdict() for one in result.forecasts],
        "next": [
            {
                "action": one.action,
                "command": one.command,
                "effect": one.effect,
                "allowed": one.is_allowed,
                "objections": [objection._asdict() for objection in one.objections],
            }
            for one in actions
        ],
    }


def _row(row: Row[Any]) -> dict[str, Any]:
    times = {key: value.isoformat() for key, value in row._mapping.items() if hasattr(value, "isoformat")}
    return {**row._mapping, **times}


def _lines(result: ExperimentResult, concerns: Sequence[str], actions: Sequence[NextAction]) -> Iterator[str]:
    """Yield what is printed for people: the result first, then what casts doubt on it."""
    from tastemaker.experiments.plan import percentage
    from tastemaker.util.counted import counted
    from tastemaker.util.durations import in_words

    found, design = result.experiment, result.design
    yield result.sentence
    yield from (f"! {one}" for one in concerns)
    step = f", {result.step}" if found.is_active else ""
    epoch = f", epoch {found.epoch}" if found.epoch else ""
    changes = counted(found.changes, "change")
    yield f"{found.name}: {found.state}{step}{epoch}, {changes}, {result.look_of} looks"
    yield f"  hypothesis  {design.hypothesis} ({found.owner})"
    yield f"  decided by  {design.primary}: an effect of {100 * design.minimum_effect:g} %"
    yield f"  planned     {design.planned_units:,} {result.unit}s, each for {in_words(design.window_days)}"
    yield from (f"  waiting for {one}" for one in result.waiting)
    for name, variant in design.variants.items():
        control = ", control" if name == design.control else ""
        yield f"  {name:<10}  {percentage(variant.share)}, {_served(variant)}{control}"
    for effect in (*result.whole(is_adjusted=False), *result.whole(is_adjusted=True)):
        yield f"  {_effect(effect)}"
    for forecast in result.forecasts:
        expected = f"{100 * forecast.forecast:+.1f} % ± {100 * forecast.forecast_error:.1f}"
        yield f"  forecast    {forecast.metric} of {forecast.variant}, {forecast.method}: {expected}"
    for check in result.checks:
        yield f"  guardrail   {check.guardrail} of {check.variant}: {check.verdict}"
    for action in actions:
        yield f"{'next' if action.is_allowed else 'not yet'}: {action.command}"
        yield f"      {action.effect}"
        yield from (f"      because {one.problem}" for one in action.objections)


def _served(variant: VariantDesign) -> str:
    if variant.model is None:
        return f"the value {variant.value!r}"
    return f"{variant.model} {variant.version or f'of the recipe {variant.recipe}'}"


def _effect(row: Row[Any]) -> str:
    adjusted = ", adjusted" if row.is_adjusted else ""
    figures = f"  {row.role:<11} {row.metric} of {row.variant}{adjusted}: "
    if row.relative is None:
        return f"{figures}too little data"
    ends = (row.relative, row.relative_low, row.relative_high)
    value, low, high = ("?" if one is None else f"{100 * one:+.1f} %" for one in ends)
    return f"{figures}{value}, {low} to {high}"
