"""The typed client against a real service, and against one that is away or busy."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from support.bento_servers import running
from support.served_homes import make_home
from support.servers import free_port
from tastemaker.client import (
    Client,
    ExposureReport,
    FeedbackEvent,
    ItemUpsert,
    Receipt,
    Request,
    ServiceError,
    UserUpsert,
)
from tastemaker.event_log.records import FeedbackRecord
from tastemaker.event_log.spool import read
from tastemaker.serving.http.api_keys import add, changed

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a model."""
    home = tmp_path_factory.mktemp("client") / "home"
    make_home(home, ["popularity"])
    return home


@pytest.fixture(scope="module")
def secret(home: Path) -> str:
    """A key for everything."""
    with changed(home / "keys.json") as keys:
        return add(keys, "web shop", ["recommend", "feedback", "manage"]).secret


@pytest.fixture(scope="module")
def client(home: Path, secret: str) -> Iterator[Client]:
    """A client of a running service."""
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(home.parent / "bentoml")}
    command = ["bentoml", "serve", "tastemaker_baselines.service:Popularity"]
    with (
        running(command, home.parent, environment) as served,
        Client(str(served.base_url), key=secret) as client,
    ):
        yield client


def test_every_kind_of_list(client: Client) -> None:
    assert client.ready().model == "popularity"
    mine = "0af7651916cd43dd8448eb211c80319c"
    answer = client.recommend("user-01", 3, exclude=["item-00"], request_id=mine)
    assert (answer.request_id, answer.stage, len(answer.items)) == (mine, "model", 3)
    assert "item-00" not in [item.item_id for item in answer.items]
    many = client.recommend_many([Request(f"user-{number}", 1) for number in range(250)])
    assert [len(one.items) for one in many] == [1] * 250
    assert len(client.session(["item-03"], 4).items) == 4
    ranked = client.rank("user-01", ["item-05", "item-00"])
    assert {item.item_id for item in ranked.items} == {"item-00", "item-05"}


def test_feedback_of_any_length_is_acknowledged_and_counts_once(client: Client, home: Path) -> None:
    events = [FeedbackEvent(f"event-{n}", "click", "item-00", user_id="Ž") for n in range(1_500)]
    assert client.feedback(events) == Receipt(1_500, 0)
    assert client.feedback(events[:3]) == Receipt(0, 3)
    exposures = [ExposureReport(f"x-{n}", "basket", 0, "wide", f"user-{n}") for n in range(1_001)]
    assert client.expose(exposures) == Receipt(1_001, 0)
    assert client.expose(exposures[:2]) == Receipt(0, 2)
    pending = read(home / "spool" / "requests.db", 10_000)
    assert pending is not None
    sent = [record.event_id for record in pending.records if isinstance(record, FeedbackRecord)]
    logged = [event_id for event_id in sent if event_id.startswith("event-")]
    assert sorted(logged) == sorted(event.event_id for event in events)


def test_an_answer_is_explained(client: Client) -> None:
    answer = client.recommend("user-01", 2)
    client.feedback([FeedbackEvent("seen", "view", "item-00", user_id="u")])  # the log is written in order
    explanation = client.explain(answer.request_id)
    assert (explanation.request_id, explanation.stage) == (answer.request_id, "model")
    assert [one.item_id for one in explanation.items] == [item.item_id for item in answer.items]
    assert all(one.reasons for one in explanation.items)


def test_an_item_with_any_id_is_known_once_it_is_sent_and_gone_when_it_is_not_available(
    client: Client,
) -> None:
    strange = "50%/é ?#"
    with pytest.raises(ServiceError, match="404"):
        client.similar(strange)
    changed_items = [ItemUpsert(strange, "Item 3", "odd", 4.0), ItemUpsert("item-00", available=False)]
    assert client.upsert_items(changed_items).accepted == 2
    assert client.similar(strange, 3).item_id == strange
    assert client.similar(strange, 3, user_id="50%/é ?#&k=1") == client.similar(strange, 3)
    assert "item-00" not in {item.item_id for item in client.recommend("user-02", 25).items}


def test_a_user_is_not_shown_what_they_blocked(client: Client) -> None:
    assert client.upsert_users([UserUpsert("user-03", "NL", ["item-01"])]).accepted == 1
    assert "item-01" not in {item.item_id for item in client.recommend("user-03", 25).items}


def test_threads_share_a_client(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.recommend(f"user-{n}"), range(200)))
    assert len({answer.request_id for answer in answers}) == 200


def test_a_refusal_comes_with_its_problem(client: Client) -> None:
    with pytest.raises(ServiceError, match="k = 0") as caught:
        client.recommend("user-01", 0)
    assert caught.value.details is not None
    assert (caught.value.details.status, caught.value.details.field, caught.value.passing) == (
        400,
        "k",
        False,
    )


def test_a_wrong_key_is_not_tried_again(client: Client) -> None:
    with Client(client.url, key="tm_wrong") as unauthorized, pytest.raises(ServiceError, match="401"):
        unauthorized.feedback([FeedbackEvent("1", "click", "i", user_id="u")])


def test_the_access_log_has_refusals_and_no_user_ids(client: Client, home: Path) -> None:
    for wrong in (0, 5_000):
        with pytest.raises(ServiceError):
            client.recommend("user-of-delft", wrong, exclude=["item-in-secret"])
    (log,) = home.parent.glob("server-*.log")
    text = log.read_text()
    logged = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert ("/recommend", 400, "k") in {(line["path"], line["status"], line["field"]) for line in logged}
    assert not re.search("user-|item-|tm_[0-9a-f]|Ž", text)


class Busy(BaseHTTPRequestHandler):
    """Says 429, drops the connection, says 503 as a proxy would, then takes what it gets."""

    attempts: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.attempts.append(self.rfile.read(int(self.headers["Content-Length"])))
        number = len(self.attempts)
        if number == 2:
            return
        status, body = {1: (429, b"{}"), 3: (503, b"<html>")}.get(number, (200, b'{"accepted":1}'))
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def busy() -> Iterator[str]:
    """The URL of a service that takes a while to take anything."""
    Busy.attempts.clear()
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_feedback_is_sent_until_it_is_taken(busy: str) -> None:
    event = FeedbackEvent("1", "click", "i", user_id="u")
    with Client(busy) as client:
        assert client.feedback([event]) == Receipt(1)
    assert len(Busy.attempts) == 4
    assert len(set(Busy.attempts)) == 1


def test_retries_end(busy: str) -> None:
    with Client(busy, retry_seconds=0.5) as client, pytest.raises(ServiceError, match="429"):
        client.feedback([FeedbackEvent("1", "click", "i", user_id="u")])
    assert len(Busy.attempts) == 1, "the service asked for a second, which is more than there was"


def test_a_service_that_is_away_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ServiceError, match=url) as caught:
        client.recommend("u")
    assert (caught.value.details, caught.value.passing) == (None, True)


def test_what_is_asked_on_a_connection_that_breaks_is_asked_once_more() -> None:
    asked = list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve() -> None:
            for number in range(4):
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(65_536).partition(b" HTTP")[0])
                    if number == 1:
                        body = b'{"accepted":1,"duplicates":0}'
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                            % (len(body), body)
                        )

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            assert client.feedback([FeedbackEvent("1", "click", "i", user_id="u")]) == Receipt(1)
            with pytest.raises(ServiceError, match="can't be reached"):
                client.recommend("u")
        thread.join()
    assert asked == [b"POST /feedback"] * 2 + [b"POST /recommend"] * 2
