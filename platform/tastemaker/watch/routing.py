"""Who is notified of an incident of which severity, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tastemaker.watch_settings import EscalationStep, WatchSettings

HOUR = 3_600.0
SEVERITIES = {"none": 0, "ticket": 1, "page": 2}
"""Severity -> rank: the greater is the more urgent."""


@dataclass(frozen=True)
class Routing:
    """Who is notified of what, and how often."""

    environment: str
    channels: Mapping[str, tuple[str, ...]]
    """Severity -> names of channels."""
    escalation: tuple[EscalationStep, ...] = ()
    remind_seconds: float | None = None
    flapping_per_hour: int = 6

    @classmethod
    def of(cls, settings: WatchSettings) -> Routing:
        """Return what the settings say."""
        return cls(
            settings.environment,
            {severity: settings.channels_of(severity) for severity in SEVERITIES},
            settings.escalation,
            None if settings.remind_hours is None else settings.remind_hours * HOUR,
            settings.flapping_per_hour,
        )
