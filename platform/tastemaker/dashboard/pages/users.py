"""Users: who may see the dashboard, and what they searched for. `tastemaker users` changes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import func, select

from tastemaker.dashboard.access.audit import AuditedSearch, read_audit
from tastemaker.dashboard.access.users import DashboardUser, list_users, name_key
from tastemaker.dashboard.content import DataTable, Notes, PageContent, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.storage.tables import dashboard_sessions

MOST_SEARCHES = 200
_COMMANDS = Notes(
    ["On the dashboard's machine, tastemaker users adds, changes and removes users, and sets passwords."],
    title="Change users",
)


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return the users with their rights and sessions, and the newest searches."""
    found = list_users(reader.engine)
    ends = dashboard_sessions.c.ends_at > reader.now
    query = select(dashboard_sessions.c.user_key, func.count()).where(ends)
    sessions = dict(map(tuple, reader.rows(query.group_by(dashboard_sessions.c.user_key))))
    return PageContent(
        _answer(found),
        None,
        [_users(found, sessions), _audit(read_audit(reader.engine, MOST_SEARCHES), viewer), _COMMANDS],
    )


def _answer(found: Sequence[DashboardUser]) -> str:
    if not found:
        return "There are no users, so this machine alone is answered, without a login."
    counts = Counter(one.role for one in found)
    roles = ", ".join(f"{counts[role]} {role.word}" for role in reversed(Role) if counts[role])
    ids = sum(one.may_see_users for one in found)
    users = "1 user" if len(found) == 1 else f"{len(found):,} users"
    return f"{users} may see the dashboard ({roles}); {ids:,} may see user ids."


def _users(found: Sequence[DashboardUser], sessions: dict[str, int]) -> DataTable:
    columns = [
        TableColumn("user", "User"),
        TableColumn("role", "Role"),
        TableColumn("user_ids", "User ids"),
        TableColumn("login", "Login"),
        TableColumn("sessions", "Sessions", "number"),
        TableColumn("added", "Added", "time"),
    ]
    rows = [
        (
            one.name,
            one.role.word,
            "may see them" if one.may_see_users else "hidden",
            "password" if one.has_password else "by the proxy",
            sessions.get(name_key(one.name), 0),
            one.created_at,
        )
        for one in found
    ]
    return DataTable("users", "Users", columns, rows, empty="There are no users.")


def _audit(found: Sequence[AuditedSearch], viewer: Viewer) -> DataTable | Notes:
    if not viewer.may_see_users:
        return Notes(["Searches name user ids, which you have no right to see."], title="Searches")
    columns = [
        TableColumn("at", "When", "time"),
        TableColumn("user", "User"),
        TableColumn("query", "Searched for"),
        TableColumn("rows", "Found", "number"),
    ]
    return DataTable(
        "searches",
        "Searches",
        columns,
        [(one.at, one.user_name, one.query, one.rows) for one in found],
        note=f"The newest searches for requests, at most {MOST_SEARCHES}.",
        empty="There were no searches.",
    )


PAGE = DashboardPage(
    path="/users",
    title="Users",
    question="Who may see the dashboard, and what did they search for?",
    load=_load,
    role=Role.ADMIN,
)
