"""Set up Metabase's database connection, questions and dashboard over its REST API.

    python deploy/metabase/provision.py --url http://127.0.0.1:3000 --host db.example --database tastemaker

The environment has the secrets: METABASE_EMAIL and METABASE_PASSWORD of an administrator, who is created if
Metabase is new, and TASTEMAKER_BI_PASSWORD of the role tastemaker_bi. What exists is found by its name in the
collection Tastemaker and updated, so that the program can be run again at any time.
"""

# ruff: noqa: S608 - the conditions are constants of this file

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import urllib3

from tastemaker.channel_settings import secure_address

NAME = "Tastemaker"
"""Name of the collection, the database connection and the dashboard."""
TIMEOUT_SECONDS = 60.0
GRID_COLUMNS, CARD_ROWS = 24, 7
"""Width of Metabase's dashboards, and the height of a question, in cells of its grid."""
SERVED = "source = 'tastemaker' AND version <> '' AND experiment = '' AND day > CURRENT_DATE - 90"


class Question(NamedTuple):
    """A question of Metabase: a query, and how it is drawn."""

    name: str
    description: str
    query: str
    display: str = "table"
    dimensions: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @property
    def drawing(self) -> dict[str, list[str]]:
        """Return Metabase's visualization settings."""
        if not self.metrics:
            return {}
        return {"graph.dimensions": list(self.dimensions), "graph.metrics": list(self.metrics)}


QUESTIONS = (
    Question(
        "Click-through rate per impression by version",
        "Versions were shown to different users, so that a difference is not an effect.",
        f"SELECT day, model || ' ' || version AS version, ctr_impression FROM v1_daily WHERE {SERVED} "
        "ORDER BY day",
        "line",
        ("day", "version"),
        ("ctr_impression",),
    ),
    Question(
        "Reward per request by version",
        "Mean reward per request of one day.",
        f"SELECT day, model || ' ' || version AS version, reward_per_request FROM v1_daily WHERE {SERVED} "
        "ORDER BY day",
        "line",
        ("day", "version"),
        ("reward_per_request",),
    ),
    Question(
        "Figures by day, with intervals",
        "95 % intervals over users. An empty cell has too little data.",
        "SELECT day, model, version, users, ctr_impression, ctr_impression_low, ctr_impression_high, "
        "reward_per_request, reward_per_request_low, reward_per_request_high, fallback_share, p99_ms, "
        f"is_complete FROM v1_daily WHERE {SERVED} ORDER BY day DESC, model, version",
    ),
    Question(
        "Active users",
        "Users who did something on the day, in 7 and in 28 days.",
        "SELECT day, dau, wau, mau FROM v1_growth WHERE source = 'tastemaker' AND day > CURRENT_DATE - 90 "
        "ORDER BY day",
        "line",
        ("day",),
        ("dau", "wau", "mau"),
    ),
    Question(
        "Churn, with its interval",
        "Share of the users of the 28 days before who were not active in 28 days.",
        "SELECT day, churn_28, churn_28_low, churn_28_high FROM v1_growth "
        "WHERE source = 'tastemaker' AND day > CURRENT_DATE - 90 ORDER BY day",
        "line",
        ("day",),
        ("churn_28", "churn_28_low", "churn_28_high"),
    ),
    Question(
        "Retention by week",
        "One row per week of first days and week after it. Only complete cells.",
        "SELECT cohort_start, first_day / 7 AS week, users, share, low, high FROM v1_retention "
        "WHERE source = 'tastemaker' AND kind = 'week' AND model = '' AND is_complete "
        "ORDER BY cohort_start DESC, week",
    ),
    Question(
        "Models",
        "Ours and foreign ones.",
        "SELECT source, model, versions, newest_version, champion_version, measured_until FROM v1_models "
        "ORDER BY source, model",
    ),
    Question(
        "Incidents",
        "Newest first.",
        "SELECT opened_at, rule, severity, model, summary, closed_at FROM v1_alerts ORDER BY opened_at DESC",
    ),
)


class Metabase:
    """A session of an administrator."""

    def __init__(self, url: str) -> None:
        self._url, self._http = url.rstrip("/"), urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS)
        self._headers: dict[str, str] = {}

    def log_in(self, email: str, password: str) -> None:
        """Log in as the administrator, who is created if Metabase has no user yet."""
        properties = self.get("session/properties")
        if not properties.get("has-user-setup"):
            user = {"email": email, "password": password, "first_name": NAME, "last_name": "Administrator"}
            wishes = {"site_name": NAME, "allow_tracking": False}
            self.send("POST", "setup", {"token": properties["setup-token"], "user": user, "prefs": wishes})
        session = self.send("POST", "session", {"username": email, "password": password})
        self._headers = {"X-Metabase-Session": str(session["id"])}

    def get(self, path: str) -> Any:
        """Return the answer to a GET."""
        return self._call("GET", path)

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a POST or PUT."""
        return self._call(method, path, json=dict(body))

    def put(self, kind: str, found: Mapping[str, int], name: str, body: Mapping[str, Any]) -> int:
        """Create a thing, or update the one of that name.

        Args:
            kind: The path of such things, such as card.
            found: Name -> id of what exists.
            name: The thing's name.
            body: What it shall be.

        Returns:
            Its id.
        """
        path = f"{kind}/{found[name]}" if name in found else kind
        answer = self.send("PUT" if name in found else "POST", path, {"name": name, **body})
        return int(answer["id"])

    def _call(self, method: str, path: str, **given: Any) -> Any:
        try:
            answer = self._http.request(method, f"{self._url}/api/{path}", headers=self._headers, **given)
        except urllib3.exceptions.HTTPError as error:
            _end(f"{self._url} does not answer: {error}", "start Metabase, or correct --url")
        if answer.status >= 400:
            said = answer.data.decode("utf-8", "replace")[:300]
            _end(f"{method} /api/{path}: Metabase answered {answer.status}: {said}", "see Metabase's log")
        return answer.json() if answer.data else None


def provision(metabase: Metabase, details: Mapping[str, Any]) -> int:
    """Make or update everything, and return the dashboard's id.

    Args:
        metabase: The session.
        details: How Metabase connects to the metadata database.
    """
    databases = {one["name"]: one["id"] for one in metabase.get("database")["data"]}
    database = metabase.put("database", databases, NAME, {"engine": "postgres", "details": dict(details)})
    collections = {one["name"]: one["id"] for one in metabase.get("collection") if not one.get("archived")}
    collection = metabase.put("collection", collections, NAME, {})
    cards = _cards(metabase, collection, database)
    dashboard = metabase.put(
        "dashboard", _items(metabase, collection, "dashboard"), NAME, {"collection_id": collection}
    )
    placed = {one["card_id"]: one["id"] for one in metabase.get(f"dashboard/{dashboard}")["dashcards"]}
    metabase.send("PUT", f"dashboard/{dashboard}", {"dashcards": _placed(cards, placed)})
    return dashboard


def _cards(metabase: Metabase, collection: int, database: int) -> list[int]:
    """Return the ids of the questions."""
    found = _items(metabase, collection, "card")
    return [
        metabase.put(
            "card",
            found,
            one.name,
            {
                "description": one.description,
                "display": one.display,
                "visualization_settings": one.drawing,
                "collection_id": collection,
                "dataset_query": {"database": database, "type": "native", "native": {"query": one.query}},
            },
        )
        for one in QUESTIONS
    ]


def _items(metabase: Metabase, collection: int, model: str) -> dict[str, int]:
    found = metabase.get(f"collection/{collection}/items?models={model}&limit=1000&offset=0")
    return {one["name"]: one["id"] for one in found["data"]}


def _placed(cards: list[int], placed: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return the questions, two in a row; one that is new on the dashboard has a negative id."""
    width = GRID_COLUMNS // 2
    return [
        {
            "id": placed.get(card, -number - 1),
            "card_id": card,
            "row": number // 2 * CARD_ROWS,
            "col": number % 2 * width,
            "size_x": width,
            "size_y": CARD_ROWS,
        }
        for number, card in enumerate(cards)
    ]


def _secret(variable: str) -> str:
    value = os.environ.get(variable)
    return value or _end(f"the environment variable {variable} is not set", f"export {variable}=...")


def _end(problem: str, fix: str) -> NoReturn:
    sys.exit(f"error: {problem}\n  fix: {fix}")


def main() -> None:
    """Read the command line and the environment."""
    about, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="address of Metabase")
    parser.add_argument("--host", required=True, help="host of the metadata database, as Metabase reaches it")
    parser.add_argument("--port", type=int, default=5432, help="its port")
    parser.add_argument("--database", required=True, help="its name")
    parser.add_argument("--ssl", action="store_true", help="encrypt Metabase's connection to it")
    given = parser.parse_args()
    try:
        metabase = Metabase(secure_address(given.url))
    except ValueError as error:
        _end(f"--url {given.url}: it {error}", "use https, or run this on Metabase's machine")
    details = {
        "host": given.host,
        "port": given.port,
        "dbname": given.database,
        "user": "tastemaker_bi",
        "password": _secret("TASTEMAKER_BI_PASSWORD"),
        "ssl": given.ssl,
    }
    metabase.log_in(_secret("METABASE_EMAIL"), _secret("METABASE_PASSWORD"))
    dashboard = provision(metabase, details)
    print(f"{len(QUESTIONS)} questions are on the dashboard {given.url.rstrip('/')}/dashboard/{dashboard}")


if __name__ == "__main__":
    main()
