"""`tastemaker experiment guard --follow`, which checks each CHECK_SECONDS, not each minute; as a program."""

from __future__ import annotations

from tastemaker.cli.experiment_guard import guard as command
from tastemaker.experiments.guardrails import guard

CHECK_SECONDS = 5.0
"""Between two checks, of what the service did and of what users did."""

if __name__ == "__main__":
    setattr(guard, "CHECK_SECONDS", CHECK_SECONDS)  # noqa: B010
    setattr(guard, "REWARD_SECONDS", CHECK_SECONDS)  # noqa: B010
    command(["--follow"], standalone_mode=True)
