"""`tastemaker runs`: the runs that Dagster's instance keeps, and why one failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import dagster as dg

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def runs() -> None:
    """List the runs of the asset graph, or show why one failed.

    Runs of `tastemaker run` and of Dagster's daemon are in the same instance.

    \b
    Examples:
      tastemaker runs list
      tastemaker runs show 3f9a2c41
    """


@runs.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Most runs.")
@click.option("--failed", is_flag=True, help="Only runs that failed.")
@as_json_option
def list_runs(limit: int, failed: bool, as_json: bool) -> None:
    """List runs, the newest first.

    \b
    Examples:
      tastemaker runs list
      tastemaker runs list --failed --limit 5
      tastemaker runs list --json | jq '.[].run_id'
    """
    import dagster as dg

    from tastemaker.settings import load_settings
    from tastemaker.util import strict_json
    from tastemaker_pipelines.instance import open_instance

    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]) if failed else None
    with open_instance(load_settings()) as instance:
        found = [_row(record) for record in instance.get_run_records(wanted, limit=limit)]
    if as_json:
        click.echo(strict_json.dumps(found))
        return
    for row in found:
        started = (row["started_at"] or "")[:19]
        click.echo(f"{row['run_id']}  {row['status']:<9}  {started:<19}  {row['job']}".rstrip())
    if not found:
        click.echo("no run")


@runs.command("show")
@click.argument("run")
@as_json_option
def show(run: str, as_json: bool) -> None:
    """Show how RUN ended, and why it failed. The beginning of its id is enough.

    The id of a request for trainings, which POST /train answers, shows its newest run.

    \b
    Examples:
      tastemaker runs show 3f9a2c41
      tastemaker runs show 3f9a2c41 --json | jq '.failures[].reason'
    """
    from tastemaker.settings import load_settings
    from tastemaker.util import strict_json
    from tastemaker_pipelines.failures import step_failures
    from tastemaker_pipelines.instance import open_instance

    with open_instance(load_settings()) as instance:
        record = _found(instance, run)
        row = _row(record)
        has_failed = row["status"] == "FAILURE"
        failures = step_failures(instance, row["run_id"]) if has_failed else []
    if as_json:
        click.echo(strict_json.dumps({**row, "failures": [one._asdict() for one in failures]}))
        return
    for name, value in row.items():
        click.echo(f"{name:<12}{value if value is not None else '-'}")
    for failure in failures:
        click.echo(f"\n{failure.asset or 'before any step'}\n  " + "\n  ".join(failure.reason.splitlines()))


def _found(instance: dg.DagsterInstance, run: str) -> dg.RunRecord:
    import dagster as dg

    from tastemaker.errors import TastemakerError
    from tastemaker_pipelines.training.requests import REQUEST_TAG

    requested = instance.get_run_records(dg.RunsFilter(tags={REQUEST_TAG: run}), limit=1)
    found = requested or [one for one in instance.get_run_records() if one.dagster_run.run_id.startswith(run)]
    if len(found) != 1:
        problem = f"{len(found)} runs begin with" if found else "there is no run"
        raise TastemakerError(f"{problem} {run}", fix="list them: tastemaker runs list")
    return found[0]


def _row(record: dg.RunRecord) -> dict[str, Any]:
    from datetime import UTC, datetime

    def at(seconds: float | None) -> str | None:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

    from tastemaker_pipelines.failures import JOB_TAG, UNNAMED

    run = record.dagster_run
    job = run.tags.get(JOB_TAG, "") if run.job_name.startswith(UNNAMED) else run.job_name
    return {
        "run_id": run.run_id,
        "status": run.status.value,
        "job": job or ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())),
        "started_at": at(record.start_time),
        "ended_at": at(record.end_time),
    }
