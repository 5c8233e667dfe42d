"""deploy/metabase/provision.py against a stub of Metabase's API, and its queries on a real Postgres."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from support import planted_metadata
from support.metabase_stub import MetabaseStub
from support.repository import ROOT
from support.scripted_http import Answer
from tastemaker.storage.bi_role import ROLE, grant_bi_role
from tastemaker.storage.engine import open_engine

PROGRAM = ROOT / "deploy" / "metabase" / "provision.py"
SECRETS = {
    "METABASE_EMAIL": "admin@shop.example",
    "METABASE_PASSWORD": "an-admins-password",
    "TASTEMAKER_BI_PASSWORD": "the-roles-password",
}


def provision(url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), "--url", url, "--host", "db.example", "--database", "tastemaker"]
    return subprocess.run(
        command, env=os.environ | SECRETS | environment, capture_output=True, text=True, timeout=60
    )


def test_a_second_run_creates_nothing_and_restores_what_was_changed() -> None:
    with MetabaseStub() as stub:
        first = provision(stub.url)
        assert first.returncode == 0, first.stderr
        assert stub.users == {"admin@shop.example": "an-admins-password"}
        assert stub.tracking is False
        made, posts = deepcopy(stub.made), len(stub.posts)
        (database,) = made["database"].values()
        assert database["details"]["user"] == ROLE
        (dashboard,) = made["dashboard"].values()
        assert {one["card_id"] for one in dashboard["dashcards"]} == made["card"].keys()
        stub.made["card"][1]["display"] = "pie"
        second = provision(stub.url)
        assert second.stdout == first.stdout
        assert len(stub.posts) == posts
        assert stub.made == made


def test_questions_do_not_overlap_on_the_dashboard() -> None:
    with MetabaseStub() as stub:
        assert provision(stub.url).returncode == 0
        (dashboard,) = stub.made["dashboard"].values()
    cells = [
        (one["row"] + row, one["col"] + column)
        for one in dashboard["dashcards"]
        for row in range(one["size_y"])
        for column in range(one["size_x"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for _, column in cells) < 24


@pytest.mark.servers
def test_each_query_is_answered_to_the_role(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    planted_metadata.plant(engine)
    grant_bi_role(engine, None)
    reader = create_engine(make_url(postgres_url).set(username=ROLE), poolclass=NullPool)
    with MetabaseStub() as stub:
        assert provision(stub.url).returncode == 0
        cards = list(stub.made["card"].values())
    for card in cards:
        with reader.connect() as connection:
            found = connection.execute(text(card["dataset_query"]["native"]["query"]))
            drawn = card["visualization_settings"]
            shown = {*drawn.get("graph.dimensions", []), *drawn.get("graph.metrics", [])}
            assert shown <= set(found.keys()), card["name"]
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {ROLE}"))
        connection.execute(text(f"DROP ROLE {ROLE}"))
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "environment", "said"),
    [
        ("http://metabase.example:3000", {}, "must begin with https://"),
        ("http://127.0.0.1:1", {}, "does not answer"),
        ("http://127.0.0.1:1", {"METABASE_EMAIL": ""}, "METABASE_EMAIL is not set"),
    ],
)
def test_mistakes_are_named_with_their_fix(url: str, environment: dict[str, str], said: str) -> None:
    done = provision(url, **environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_shown_with_metabases_words() -> None:
    with MetabaseStub() as stub:
        assert provision(stub.url).returncode == 0
        done = provision(stub.url, METABASE_PASSWORD="wrong")
        assert "POST /api/session: Metabase answered 401" in done.stderr
        assert "did not match" in done.stderr
        stub.script(Answer(500, {}, b"it is out of memory"))
        assert "answered 500: it is out of memory" in provision(stub.url).stderr


def test_no_secret_is_printed() -> None:
    with MetabaseStub() as stub:
        done = provision(stub.url)
    assert not [
        secret for secret in SECRETS.values() if secret in done.stdout + done.stderr and "@" not in secret
    ]
