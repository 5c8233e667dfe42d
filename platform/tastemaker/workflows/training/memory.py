"""The memory that a training may use, and the refusal of one that needs more."""

from __future__ import annotations

import os

from tastemaker.errors import TastemakerError
from tastemaker.serving.runtime.machine import Machine
from tastemaker.settings import Settings
from tastemaker.trainings.records import Need
from tastemaker.util.byte_sizes import byte_size

SHARE = 0.8
"""What a training may use of the memory of the machine or container; the rest is the run's own."""
FIX = (
    "set automation.training_memory_bytes to more, if the machine has it; else give the model less data or "
    "a smaller config, or leave it out: models.disabled"
)


def memory_limit(settings: Settings) -> int:
    """Return the bytes that the training of one model may use."""
    own = settings.automation.training_memory_bytes
    return round(SHARE * Machine(os.getpid(), {}).memory.limit) if own is None else own


def require_memory(model: str, need: Need, settings: Settings) -> None:
    """Raise TastemakerError if a training is expected to need more memory than it may use.

    Args:
        model: The model's name.
        need: The estimate and the limit, in bytes.
        settings: Where the limit comes from, for the message.

    Raises:
        TastemakerError: The estimate is greater than the limit.
    """
    if need.estimated_bytes is not None and need.estimated_bytes > need.limit_bytes:
        raise TastemakerError(
            f"model {model} is not trained: for {need.events:,} events it needs about "
            f"{byte_size(need.estimated_bytes)} of memory, by its earlier trainings, and may use "
            f"{described_limit(need.limit_bytes, settings)}",
            fix=FIX,
        )


def described_limit(limit: int, settings: Settings) -> str:
    """Return the limit in words, with where it comes from.

    Args:
        limit: The limit in bytes.
        settings: Say whether `automation.training_memory_bytes` sets it, or else the machine does.
    """
    if settings.automation.training_memory_bytes is not None:
        return f"{byte_size(limit)} (automation.training_memory_bytes)"
    return f"{byte_size(limit)} ({SHARE:.0%} of this machine's or container's memory)"
