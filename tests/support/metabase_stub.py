"""A server that answers as Metabase's API reference documents, in memory: what `provision.py` uses of it.

It is not Metabase: what is tested against it is that requests have the documented form, and that a second
run creates nothing. It refuses calls without a session, fields of a wrong type, and references to what is
missing.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.scripted_http import Answer, Received, ScriptedServer

TOKEN, SESSION = "a-setup-token", "a-session"
FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "database": {"name": str, "engine": str, "details": dict},
    "collection": {"name": str},
    "card": {
        "name": str,
        "display": str,
        "visualization_settings": dict,
        "dataset_query": dict,
        "collection_id": int,
        "description": str,
    },
    "dashboard": {"name": str, "collection_id": int},
}
"""Fields that a POST must have, with their types."""
Reply = tuple[int, Any]


class MetabaseStub(ScriptedServer):
    """The state of the server: users, and what was made."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, str] = {}
        self.tracking: bool | None = None
        self.made: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in FIELDS}
        self.posts: list[str] = []

    def answer(self, request: Received) -> Answer:
        """Answer one request."""
        status, body = self._reply(request)
        return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _reply(self, received: Received) -> Reply:
        parts = urlsplit(received.path)
        kind, *rest = parts.path.removeprefix("/api/").split("/")
        body = received.json() if received.body else {}
        if kind in ("session", "setup"):
            return self._session(received.method, [kind, *rest], body)
        if received.headers.get("x-metabase-session") != SESSION:
            return 401, "Unauthenticated"
        if received.method == "GET":
            return self._get(kind, rest, parse_qs(parts.query))
        if received.method == "POST":
            return self._post(kind, body)
        return self._put(kind, int(rest[0]), body)

    def _session(self, method: str, path: list[str], body: dict[str, Any]) -> Reply:
        if path == ["session", "properties"] and method == "GET":
            return 200, {"has-user-setup": bool(self.users), "setup-token": None if self.users else TOKEN}
        if path == ["setup"]:
            if self.users or body["token"] != TOKEN:
                return 403, "The /api/setup route can only be used to create the first user"
            self.users[body["user"]["email"]] = body["user"]["password"]
            self.tracking = body["prefs"]["allow_tracking"]
            return 200, {"id": SESSION}
        right = self.users.get(body["username"]) == body["password"]
        return (200, {"id": SESSION}) if right else (401, {"errors": {"password": "did not match"}})

    def _get(self, kind: str, rest: list[str], query: dict[str, list[str]]) -> Reply:
        if rest and rest[-1] == "items":
            inside = self.made[query["models"][0]].items()
            rows = [one | {"id": n} for n, one in inside if one["collection_id"] == int(rest[0])]
            return 200, {"data": rows, "total": len(rows)}
        if rest:
            return 200, self.made[kind][int(rest[0])] | {"id": int(rest[0])}
        rows = [one | {"id": number} for number, one in self.made[kind].items()]
        if kind == "collection":
            return 200, [{"id": "root", "name": "Our analytics"}, *rows]
        return 200, {"data": rows, "total": len(rows)}

    def _post(self, kind: str, body: dict[str, Any]) -> Reply:
        wrong = {name for name, of in FIELDS[kind].items() if not isinstance(body.get(name), of)}
        if wrong or not self._refers(body):
            return 400, {"errors": dict.fromkeys(sorted(wrong), "missing or of a wrong type")}
        number = 1 + max(self.made[kind], default=0)
        self.made[kind][number] = body | ({"dashcards": []} if kind == "dashboard" else {})
        self.posts.append(kind)
        return 200, {"id": number, **body}

    def _put(self, kind: str, number: int, body: dict[str, Any]) -> Reply:
        if number not in self.made[kind] or not self._refers(body):
            return 404, "Not found."
        if "dashcards" in body:
            known = {card["id"] for card in self.made[kind][number]["dashcards"]}
            for place, card in enumerate(body["dashcards"], start=100):
                if card["card_id"] not in self.made["card"] or (card["id"] >= 0 and card["id"] not in known):
                    return 400, {"errors": {"dashcards": "unknown"}}
                card["id"] = card["id"] if card["id"] >= 0 else place
        self.made[kind][number] |= body
        return 200, {"id": number, **self.made[kind][number]}

    def _refers(self, body: dict[str, Any]) -> bool:
        """Return whether what a body refers to exists."""
        database = body.get("dataset_query", {}).get("database")
        collection = body.get("collection_id")
        return (database is None or database in self.made["database"]) and (
            collection is None or collection in self.made["collection"]
        )
