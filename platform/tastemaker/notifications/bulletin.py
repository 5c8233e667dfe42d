"""A bulletin: what a channel sends that is about no incident, such as the weekly digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from tastemaker.notifications.notification import Delivery


@dataclass(frozen=True)
class Bulletin:
    """A text for people, which calls no person and is never resolved."""

    kind: str
    """What it is, such as digest."""
    delivery_id: str
    """Identity of the message: the same in every attempt to send it."""
    subject: str
    """One line."""
    sections: tuple[str, ...]
    """The text: paragraphs and lists, without markup."""
    html: str
    """The same as an HTML page."""
    created_at: datetime

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n\n".join(self.sections) + "\n"


@runtime_checkable
class BulletinChannel(Protocol):
    """A channel that people read when they have time. A pager is none."""

    name: str
    """The channel's name in `[watch.channels.NAME]`."""

    def send_bulletin(self, bulletin: Bulletin) -> Delivery:
        """Send a bulletin once and return what came of it; see `Channel.send`."""
        ...
