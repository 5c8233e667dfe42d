"""`tastemaker experiment agreement`: forecasts of experiments against what they measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tastemaker.experiments.agreement import AgreementSummary, ForecastOutcome
    from tastemaker.stats.bootstrap import Interval


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def agreement(as_json: bool) -> None:
    """Compare the forecasts of experiments with their outcomes.

    Forecast and outcome are relative differences from control in the same metric; z is their difference over
    both standard errors. A summary of a method needs eight experiments: the share within both errors, the
    share with the same direction, and the slope of the outcome on the forecast.

    \b
    Examples:
      tastemaker experiment agreement
      tastemaker experiment agreement --json | jq '.forecasts[] | select(.covered == false)'
    """
    from tastemaker.experiments.agreement import summarize
    from tastemaker.experiments.result import read_forecasts
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine
    from tastemaker.util import strict_json

    found = read_forecasts(open_engine(load_settings().metadata_url))
    summaries = summarize(found)
    if as_json:
        forecasts = [_row(one) for one in found]
        click.echo(strict_json.dumps({"forecasts": forecasts, "summaries": [_summary(s) for s in summaries]}))
        return
    for line in _lines(found, summaries):
        click.echo(line)


def _row(one: ForecastOutcome) -> dict[str, Any]:
    return {**one._asdict(), "z": one.z, "covered": one.is_covered, "same_sign": one.has_same_sign}


def _summary(one: AgreementSummary) -> dict[str, Any]:
    figures = {"coverage": one.coverage, "same_sign": one.same_sign, "slope": one.slope}
    return {
        "method": one.method,
        "experiments": one.experiments,
        **{name: found._asdict() for name, found in figures.items()},
    }


def _lines(found: Sequence[ForecastOutcome], summaries: Sequence[AgreementSummary]) -> list[str]:
    """Return what is printed for people."""
    from tastemaker.experiments.agreement import MIN_EXPERIMENTS, measured_experiments

    lines = []
    for one in found:
        came, verdict = "no outcome yet", ""
        if one.outcome is not None and one.outcome_error is not None:
            came = f"outcome {_percent(one.outcome)} ± {100 * one.outcome_error:.1f}"
        if one.z is not None:
            within = "within" if one.is_covered else "not within"
            verdict = f"  z {one.z:+.2f}, {within} both errors"
            verdict += "" if one.has_same_sign else ", another direction"
        name = f"{one.experiment} {one.variant}" + (f" epoch {one.epoch}" if one.epoch else "")
        forecast = f"forecast {_percent(one.forecast)} ± {100 * one.forecast_error:.1f}"
        lines.append(f"{name}  {one.method}  {one.metric}  {forecast}  {came}{verdict}")
    for summary in summaries:
        parts = (
            f"within both errors {_interval(summary.coverage)}",
            f"same direction {_interval(summary.same_sign)}",
            f"slope {_interval(summary.slope)}",
        )
        lines.append(f"{summary.method}, {summary.experiments} experiments: {', '.join(parts)}")
    if not summaries:
        n = measured_experiments(found)
        lines.append(f"{n} experiments have a forecast and an outcome; a summary needs {MIN_EXPERIMENTS}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def _interval(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
