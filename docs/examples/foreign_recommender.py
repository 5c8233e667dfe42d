"""A recommender without Tastemaker that reports to its dashboard, at REPORT_URL with the key REPORT_KEY."""

import json
import os
import time
import urllib.request
from typing import Any

MODEL = {"model": "shop_search", "version": "7"}
ITEMS = [f"i{number:07}" for number in range(6)]
NOW = float(os.environ.get("REPORT_TIME", time.time() - 1))


def report(method: str, path: str, body: Any) -> None:
    """Send a report; an error ends the program."""
    headers = {"Authorization": f"Bearer {os.environ['REPORT_KEY']}", "Content-Type": "application/json"}
    address = f"{os.environ['REPORT_URL']}/api/v1/{path}"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as response:
        print(path, response.read().decode())


def recommend(user: int) -> list[str]:
    """Return the items in an order that depends on the user."""
    return ITEMS[user % len(ITEMS) :] + ITEMS[: user % len(ITEMS)]


users = range(int(os.environ.get("USERS", "90")))
lists = [
    {**MODEL, "request_id": f"r{u}", "user_id": f"u{u}", "occurred_at": NOW, "item_ids": recommend(u)}
    for u in users
]
fans = [user for user in users if user % 3 == 0]
clicked = [{"request_id": f"r{u}", "item_id": recommend(u)[0], "event_id": f"e{u}"} for u in fans]
day = {"window_start": NOW - 86_400, "window_end": NOW, "n": len(users)}
report("PUT", "models/shop_search", {"title": "Search of the shop", "owner": "search team"})
report("POST", "impressions", lists)
report("POST", "feedback", [{**one, "event_type": "click", "occurred_at": NOW} for one in clicked])
report("POST", "measurements", [{**MODEL, **day, "metric": "x_queries", "unit": "queries", "value": 3.5}])
report("POST", "health", {**MODEL, "answers": len(users), "bad": 0, "empty": 0, "at": time.time()})
