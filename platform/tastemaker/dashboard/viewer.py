"""The person who looks at a page, and their rights."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Role(IntEnum):
    """What a user may do; each role may do what those before it may."""

    VIEWER = 1
    """Sees aggregates."""
    EDITOR = 2
    """Acknowledges and silences alerts, too."""
    ADMIN = 3
    """Sees users and the audit of searches, too."""

    @classmethod
    def named(cls, word: str) -> Role:
        """Return the role of a name such as `viewer`."""
        return cls[word.upper()]

    @property
    def word(self) -> str:
        """Name of the role, as settings and commands write it."""
        return self.name.lower()


class Viewer(NamedTuple):
    """A person and their rights."""

    name: str
    role: Role
    may_see_users: bool
    """Whether pages with user ids are shown."""


ON_THIS_MACHINE = Viewer("this machine", Role.ADMIN, may_see_users=True)
"""Who asks from the dashboard's own machine while there are no users."""
