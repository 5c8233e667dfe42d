"""`tastemaker learn`: a version goes on learning from what became of the lists that were shown."""

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
@click.option("--follow/--once", help="Go on until stopped, or look once.  [default: once]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a look that learned something.")
def learn(version: str, follow: bool, as_json: bool) -> None:
    """Have a model that learns online learn from live feedback.

    VERSION is a version's id, or a model's name for its newest version. An item shown is learned when it is
    `learning.feedback_delay_seconds` old, with what was told of it by then. Each look keeps a snapshot, which
    services of the version take up within seconds. Stopped or killed, the next one goes on where it was. A
    second one that is to follow waits, and takes over when the first one ends.

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

    def tell(learned: LearningResult) -> None:
        click.echo(strict_json.dumps(_plain(learned), indent=None)) if as_json else console.print(
            _line(learned), soft_wrap=True
        )

    with learning_session(opened, found, wait=follow) as learning:
        if not follow:
            return tell(learning.step())
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if not as_json:
            console.print(f"{found.model} {found.id} learns; Ctrl-C ends it")
        learning.follow(stop, told=tell, away=lambda problem: click.echo(f"not yet: {problem}", err=True))


def _plain(learned: LearningResult) -> dict[str, object]:
    from msgspec import to_builtins

    return learned._asdict() | {"position": to_builtins(learned.position)}


def _line(learned: LearningResult) -> str:
    from datetime import UTC, datetime

    position = learned.position
    parts = ["nothing new to learn"]
    if learned.impressions:
        shown = f"{learned.impressions:,} items shown, requests {learned.requests:,}"
        parts = [f"learned {shown}, rewarded {learned.rewarded:,}"]
    if learned.skipped:
        parts.append(f"{learned.skipped:,} refused by the model, such as for another context")
    if learned.replayed:
        parts.append("replayed, as something came late")
    until = datetime.fromtimestamp(position.until, UTC)
    parts.append(f"in all {position.impressions:,} items shown before {until:%Y-%m-%d %H:%M:%S} UTC")
    return "; ".join(parts)
