"""`tastemaker learn`: update a model that learns online from logged feedback."""

from __future__ import annotations

import signal
from threading import Event
from typing import TYPE_CHECKING

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.online_learning.learner import LearningResult


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("version")
@click.option(
    "--follow/--once", help="Poll until stopped (SIGTERM or Ctrl-C), or poll once.  [default: once]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line per update.")
def learn(version: str, follow: bool, as_json: bool) -> None:
    """Update a model that learns online from logged feedback.

    VERSION is a version's id, or a model's name for its newest version. An impression is learned
    `learning.feedback_delay_seconds` after it was shown, with the feedback that has arrived by then. Each
    update is saved as a checkpoint, which running services of the version load within seconds. After a stop
    or a crash, the next run continues from the last checkpoint. With --follow, a second process waits and
    takes over when the first one ends.

    \b
    Examples:
      tastemaker learn thompson
      TASTEMAKER_LEARNING__FEEDBACK_DELAY_SECONDS=60 tastemaker learn thompson --follow
      tastemaker learn lin_ucb --json | jq .impressions
    """
    from rich.console import Console

    from tastemaker.cli.versions import named
    from tastemaker.workflows.online_learning import learning_session
    from tastemaker.workflows.workspace import Workspace

    opened, console = Workspace.open(), Console(highlight=False)
    found = named(opened, version)

    def show(learned: LearningResult) -> None:
        click.echo(strict_json.dumps(_plain(learned), indent=None)) if as_json else console.print(
            _line(learned), soft_wrap=True
        )

    with learning_session(opened, found, wait=follow) as learning:
        if not follow:
            return show(learning.step())
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if not as_json:
            console.print(f"learning: {found.model} {found.id}; stop with Ctrl-C")
        learning.follow(
            stop, on_update=show, on_failure=lambda problem: click.echo(f"waiting: {problem}", err=True)
        )


def _plain(learned: LearningResult) -> dict[str, object]:
    from msgspec import to_builtins

    return learned._asdict() | {"position": to_builtins(learned.position)}


def _line(learned: LearningResult) -> str:
    from datetime import UTC, datetime

    position = learned.position
    parts = ["nothing new to learn"]
    if learned.impressions:
        requests = f"{learned.requests:,} request{'s' if learned.requests != 1 else ''}"
        parts = [
            f"learned {learned.impressions:,} impressions of {requests}, {learned.rewarded:,} with a reward"
        ]
    if learned.skipped:
        parts.append(f"{learned.skipped:,} refused by the model, such as for another context")
    if learned.replayed:
        parts.append("replayed because records arrived late")
    until = datetime.fromtimestamp(position.until, UTC)
    parts.append(f"total {position.impressions:,} impressions before {until:%Y-%m-%d %H:%M:%S} UTC")
    return "; ".join(parts)
