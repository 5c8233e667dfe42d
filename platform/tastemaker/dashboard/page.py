"""What a page is: a path, a question, and a function from stored figures to content.

A new page is a module in `pages` with one object, which `pages.PAGES` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.filters import FilterName, PageFilters
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Role, Viewer

Load = Callable[[DashboardReader, PageFilters, Viewer], PageContent]
"""Reads what a page shows. It runs in a thread, and changes nothing but the audit of searches.

Its parameters, in this order:

- reader: reads the metadata database; has the settings, the shop's time zone and the present time.
- filters: the choices in the address, of which a page heeds those in `DashboardPage.filters`, its own
  fields in `query`, and the parts of its path in `path` as text, such as `path["number"]`.
- viewer: who looks at the page, and may see it (`DashboardPage.refuses` returned None). Content that is
  kept is shown to all viewers of the same role and the same right to see user ids: it depends on nothing
  else of the viewer.

It returns the whole content, also if there are no figures yet. A TastemakerError is shown instead of the
page, with status 404 if it is an UnknownNameError, else 400. Errors of a database that does not answer
(`reader.AWAY`) must pass: what was read last is shown then, if content of the page is kept.
"""
Act = Callable[[DashboardReader, Mapping[str, str], Mapping[str, str], Viewer], str]
"""Does what a form asks for. It runs in a thread, after the form's token and the viewer's role were checked.

Its parameters, in this order:

- reader: has the metadata database, in which the change is made, and the settings.
- path: the parts of the page's address by name, as text, such as `path["number"]`.
- fields: the fields of the form by name, as they were sent: unchecked text, and some may be missing.
- viewer: who sent the form, whose name is recorded with what the database keeps of the change.

It returns the path of the page that the browser opens next. A TastemakerError is shown with status 404 if it
is an UnknownNameError, else 400.
"""


@dataclass(frozen=True)
class PageAction:
    """What a form on a page does."""

    name: str
    """Last part of its path: `/alerts/12/acknowledge`."""
    act: Act
    role: Role = Role.EDITOR
    """The least role that may do it."""


@dataclass(frozen=True)
class DashboardPage:
    """A page."""

    path: str
    """Starlette's path, such as `/alerts` or `/alerts/{number:int}`."""
    title: str
    question: str
    """What the page answers, such as `Does the recommender work today?`."""
    load: Load
    filters: Sequence[FilterName] = ()
    """The filters that it heeds; others are not offered."""
    actions: Sequence[PageAction] = ()
    in_navigation: bool = True
    role: Role = Role.VIEWER
    """The least role that may see it."""
    needs_user_ids: bool = False
    """Whether it shows user ids, for which a viewer needs a right of their own."""
    keeps: bool = True
    """Whether its content may be kept for a few seconds, and shown while the database is away."""

    def refuses(self, viewer: Viewer) -> str | None:
        """Return why a viewer may not see it; None if they may."""
        if viewer.role < self.role:
            return missing_role(viewer, self.role)
        if self.needs_user_ids and not viewer.may_see_users:
            return "This page shows user ids, and you have no right to see them."
        return None


def missing_role(viewer: Viewer, needed: Role) -> str:
    """Return why a viewer's role is not enough.

    Args:
        viewer: Who wants to see or to do something.
        needed: The least role that may.
    """
    return f"Your role is {viewer.role.word}; this needs {needed.word}."
