"""A whole run in a home whose name is a pattern and a piece of a URL, and a service that answers from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import commands, small_shop
from support.bento_servers import running

NAME = "b[1] qu?est #%41 'x"
MODELS = {"TASTEMAKER_MODELS__ENABLED": "bought_again,popularity,ranker"}


@pytest.mark.servers
def test_run_and_serve(tmp_path: Path) -> None:
    """The ranker reads features of users from the online store."""
    home = tmp_path / NAME
    small_shop.settings(home)
    outcome = json.loads(commands.done(home, "tastemaker", "run", "--json", more=MODELS).stdout)
    assert outcome["success"] is True
    assert {step["state"] for step in outcome["steps"]} == {"done"}
    assert {path.name for path in tmp_path.iterdir()} == {NAME}
    with running(["tastemaker", "serve", "ranker"], home, commands.environment(home)) as client:
        event = {"event_id": "e", "user_id": "u00001", "item_id": "i00001", "event_type": "view"}
        assert client.post("/feedback", json={"events": [event]}).is_success
        answer = client.post("/recommend", json={"user_id": "u00001", "k": 5}).json()
    assert (answer["model"], answer["fallback"], len(answer["items"])) == ("ranker", None, 5)
    assert (home / "spool").is_dir()
