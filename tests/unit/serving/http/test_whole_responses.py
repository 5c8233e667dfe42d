"""A response written in one piece is the response that uvicorn writes in several."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast
from unittest.mock import Mock

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from support.asgi_apps import not_found
from tastemaker.serving.http.asgi import HTML, PROBLEM, Message, Reply, Send, send_reply
from tastemaker.serving.http.connections import Connection
from tastemaker.serving.http.whole_responses import WholeResponse

SERVERS_OWN = [(b"date", b"Sun, 29 Nov 2026 14:00:00 GMT"), (b"server", b"uvicorn")]
REPLIES = [
    Reply(200, b'{"items":[]}'),
    Reply(200, b""),
    Reply(404, b"{}", PROBLEM),
    Reply(405, b"{}", PROBLEM, ((b"allow", b"GET, HEAD"),)),
    Reply(408, b"{}", PROBLEM, ((b"connection", b"close"),)),
    Reply(429, b"{}", PROBLEM, ((b"retry-after", b"3"),)),
    Reply(200, b"<html>" * 1_000, HTML, ((b"x-frame-options", b"DENY"),)),
]


class Written:
    """What one way of sending did."""

    def __init__(self, *, keep_alive: bool, method: str = "POST") -> None:
        self.writes = list[bytes]()
        self.transport = Mock(write=self.writes.append)
        self.responded = Mock()
        self.cycle = RequestResponseCycle(
            scope=cast(Any, {"type": "http", "method": method}),
            transport=self.transport,
            flow=FlowControl(self.transport),
            logger=logging.getLogger(),
            access_logger=logging.getLogger(),
            access_log=False,
            default_headers=SERVERS_OWN,
            message_event=asyncio.Event(),
            expect_100_continue=True,
            keep_alive=keep_alive,
            on_response=self.responded,
        )

    @property
    def outcome(self) -> tuple[object, ...]:
        """All that the caller and the connection can see."""
        cycle = self.cycle
        return (
            b"".join(self.writes),
            cycle.response_started,
            cycle.response_complete,
            cycle.keep_alive,
            cycle.waiting_for_100_continue,
            cycle.message_event.is_set(),
            self.transport.close.called,
            self.responded.call_count,
        )


def sent(send: Any, reply: Reply, *, with_body: bool = True) -> None:
    asyncio.run(send_reply(cast(Send, send), reply, "0" * 32, with_body=with_body))


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply.status}-{len(reply.body)}")
def test_the_same_bytes_are_written_as_by_uvicorn(reply: Reply, keep_alive: bool) -> None:
    ours, uvicorns = Written(keep_alive=keep_alive), Written(keep_alive=keep_alive)
    sent(WholeResponse(ours.cycle).send, reply)
    sent(uvicorns.cycle.send, reply)
    assert ours.outcome == uvicorns.outcome
    assert len(ours.writes) == 1


def test_a_response_to_head_has_the_length_of_a_body_that_is_not_sent() -> None:
    ours, uvicorns = Written(keep_alive=True, method="HEAD"), Written(keep_alive=True, method="HEAD")
    sent(WholeResponse(ours.cycle).send, REPLIES[0], with_body=False)
    sent(uvicorns.cycle.send, REPLIES[0], with_body=False)
    assert ours.outcome == uvicorns.outcome
    assert b"content-length: 12\r\n" in ours.writes[0]


def test_a_caller_who_has_gone_gets_nothing() -> None:
    ours = Written(keep_alive=True)
    ours.cycle.disconnected = True
    sent(WholeResponse(ours.cycle).send, REPLIES[0])
    assert ours.writes == []
    assert not ours.cycle.response_started


def test_a_response_waits_for_a_caller_who_reads_slowly() -> None:
    async def send() -> tuple[bool, int]:
        ours = Written(keep_alive=True)
        ours.cycle.flow.pause_writing()
        sending = asyncio.create_task(send_reply(WholeResponse(ours.cycle).send, REPLIES[0], "0" * 32))
        await asyncio.sleep(0)
        waits = not ours.writes
        ours.cycle.flow.resume_writing()
        await sending
        return waits, len(ours.writes)

    assert asyncio.run(send()) == (True, 1)


def test_the_address_that_a_caller_forwards_is_not_taken_for_its_own() -> None:
    """`auth` refuses what was forwarded while no key exists, and asks for a key afterwards."""
    seen = list[object]()

    async def application(scope: Message, receive: object, send: Send) -> None:
        seen.append(scope["client"])
        await not_found(scope, cast(Any, receive), send)

    async def ask() -> None:
        config = Config(cast(Any, application), log_level="critical")
        config.load()
        connection = Connection(
            config=config,
            server_state=ServerState(),
            app_state={},
            most=9,
            count=lambda status, seconds: None,
        )
        peer = ("127.0.0.1", 1234)
        transport = Mock(get_extra_info=lambda name: peer if name in ("peername", "sockname") else None)
        transport.is_closing.return_value = False
        connection.connection_made(transport)
        connection.data_received(b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 10.0.0.7\r\n\r\n")
        await asyncio.gather(*connection.tasks)
        connection.connection_lost(None)

    asyncio.run(ask())
    assert seen == [("127.0.0.1", 1234)]
