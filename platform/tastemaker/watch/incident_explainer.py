"""From a notification to one that explains itself: reads the circumstances and writes them down."""

from __future__ import annotations

from tastemaker.notifications.notification import Notification
from tastemaker.settings import Settings
from tastemaker.watch.circumstances import CircumstancesReader
from tastemaker.watch.explanation import explained, search_terms


class IncidentExplainer:
    """Completes notifications."""

    def __init__(self, settings: Settings, reader: CircumstancesReader) -> None:
        """Prepare to explain.

        Args:
            settings: Name the runbooks, and say which lists are slow.
            reader: Reads the circumstances.
        """
        self._alerts, self._reader = settings.alerts, reader

    def __call__(self, notification: Notification, cause: str) -> Notification:
        """Return a notification with its circumstances; those that can't be read are left out.

        Args:
            notification: The message about an incident, which is not changed.
            cause: What is at fault, as the incident's rule has it.
        """
        labels, started_at = notification.labels, notification.started_at
        circumstances = self._reader.read(labels, started_at)
        terms: tuple[str, ...] = ()
        if notification.event in ("trigger", "reminder"):
            slow_seconds = self._alerts.slow.seconds
            terms = search_terms(notification.rule, cause, labels, started_at, circumstances, slow_seconds)
        return explained(
            notification,
            cause=cause,
            circumstances=circumstances,
            search=terms,
            examples=self._reader.examples(terms),
            runbook=f"{self._alerts.runbooks}/{notification.rule}.md",
        )
