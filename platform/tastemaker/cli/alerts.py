"""`tastemaker alerts`: the alert rules and their files, and the commands about incidents."""

from __future__ import annotations

from pathlib import Path

import click

from tastemaker.cli import incidents


@click.group()
def alerts() -> None:
    """Show and handle incidents, and list the alert rules.

    \b
    Examples:
      tastemaker alerts list                   list the open incidents
      tastemaker alerts show 12                show what happened in one
      tastemaker alerts ack 12                 take it over
      tastemaker alerts silence rule=slow --for 2h --reason "load test"
      tastemaker alerts test                   send a test alert through every channel
      tastemaker alerts rules                  list the rules
      tastemaker alerts rules --out .          write files for Prometheus, Alertmanager and Grafana
    """


for command in (
    incidents.list_incidents,
    incidents.show,
    incidents.ack,
    incidents.silence,
    incidents.silences,
    incidents.history,
    incidents.send_test,
):
    alerts.add_command(command)


@alerts.command("rules")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write deploy/prometheus, alertmanager and grafana, and docs/how-to/runbooks into.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rules(out: Path | None, as_json: bool) -> None:
    """List the alert rules, or write their files.

    Thresholds are those of the settings. Installed plugins may bring rules. With --out: the rules for
    Prometheus and a file of unit tests for each, routes for Alertmanager, one runbook per rule, and boards
    for Grafana.

    \b
    Examples:
      tastemaker alerts rules
      tastemaker alerts rules --json | jq '.[] | [.name, .expression]'
      tastemaker alerts rules --out . && promtool check rules deploy/prometheus/rules/*.yml
    """
    from tastemaker.alerting import generate
    from tastemaker.alerting.grafana.boards import grafana_files
    from tastemaker.alerting.rule import OURS
    from tastemaker.alerting.rules import all_rules
    from tastemaker.settings import load_settings
    from tastemaker.util import strict_json

    settings = load_settings()
    found = all_rules(settings)
    changed = None
    if out is not None:
        files = {**generate.files(found, settings.alerts.runbooks), **grafana_files(settings)}
        changed = generate.write(out, files)
    if as_json:
        listed = [
            {
                "name": rule.name,
                "severity": rule.severity,
                "labels": rule.labels,
                "expression": rule.condition.fires.promql(),
                "holds": rule.condition.holds.promql(),
                "for_seconds": rule.for_seconds,
                "keep_firing_seconds": rule.keep_firing_seconds,
                "condition": rule.condition.words,
                "inhibited_by": rule.inhibited_by,
                "owner": rule.owner,
                "brought_by": rule.brought_by,
            }
            for rule in found
        ]
        click.echo(strict_json.dumps(listed))
    elif changed is None:
        for rule in found:
            source = "" if rule.brought_by == OURS else f"  ({rule.brought_by})"
            click.echo(f"{rule.name}  {rule.severity}  {rule.condition.words}{source}")
    else:
        for path in changed:
            click.echo(f"wrote {path}")
        click.echo(f"{len(changed)} files changed" if changed else "nothing changed")
