"""`tastemaker measure`: computes the product metrics and prints the newest."""

from __future__ import annotations

import click


@click.command("measure", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--force", is_flag=True, help="Compute unchanged days and windows again, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the newest rows of measurements.")
def measure(force: bool, as_json: bool) -> None:
    """Compute product metrics, and print the newest.

    They are computed from the lake, and written to the table measurements of the metadata database, which
    the dashboard reads. Only days that changed are computed, and the windows that contain them. Variants of
    experiments in the shadow are compared with what was served. The asset product_metrics does the same
    every night.

    \b
    Examples:
      tastemaker measure
      tastemaker measure --force
      tastemaker measure --json | jq '.newest[] | select(.metric == "ctr_list") | [.version, .value]'
    """
    from tastemaker.experiments.shadows import measure_shadows
    from tastemaker.product.summary import in_lines, newest_rows
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    metrics = workspace.product_metrics

    def progress(what: str, done: int, total: int) -> None:
        click.echo(f"{what}  {done:,} of {total:,}", err=True)

    found = metrics.measure(force=force, progress=progress)
    shadows = measure_shadows(workspace.engine, workspace.lake)
    ends = found.log_until, found.activity_until
    newest = newest_rows(metrics.engine, metrics.problem.name, metrics.days, *ends)
    if as_json:
        click.echo(
            strict_json.dumps(
                {**found._asdict(), "newest": newest, "shadows": [one._asdict() for one in shadows]},
                default=lambda timestamp: timestamp.isoformat(),
            )
        )
        return
    for line in in_lines(newest):
        click.echo(line)
    for one in shadows:
        served = "" if one.served_value is None else f", served {one.served_value:.4g}"
        click.echo(f"{one.experiment} {one.variant}, in the shadow: {one.metric} {one.value:.4g}{served}")
    click.echo(
        f"{found.days_computed:,} days computed, {found.rows:,} rows written; the log is complete until "
        f"{found.log_until or 'never'}, the events until {found.activity_until or 'never'} "
        f"({metrics.days.timezone})"
    )
