"""A service is asked over connections that are kept, and every request ends by its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.scripted_service import ScriptedService
from tastemaker.controller.connection import NoAnswerError, ServiceReply
from tastemaker.controller.service_client import ClientLimits, ServiceClient
from tastemaker.experiments.service_address import ServiceAddress

REQUEST = b"POST /recommend HTTP/1.1\r\nhost: localhost\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}"
LIMITS = ClientLimits(seconds=0.2, waiting=5, connections=2)

Act = Callable[[ServiceClient], Awaitable[None]]


def against(service: ScriptedService, folder: Path, act: Act, limits: ClientLimits = LIMITS) -> None:
    """Run an act with a client of a service."""

    async def run() -> None:
        path = folder / "socket"
        client = ServiceClient(ServiceAddress(path), limits)
        async with service.listening(path):
            try:
                await act(client)
            finally:
                client.close()
                await asyncio.sleep(0)

    asyncio.run(run())


async def reason(client: ServiceClient) -> str:
    """Why a request fails."""
    with pytest.raises(NoAnswerError) as error:
        await client.send(REQUEST)
    return error.value.reason


def test_connections_are_kept_and_bounded(tmp_path: Path) -> None:
    service = ScriptedService()

    async def act(client: ServiceClient) -> None:
        for _ in range(3):
            assert (await client.send(REQUEST)).status == 200
        assert service.connections == 1
        replies = await asyncio.gather(*(client.send(REQUEST) for _ in range(6)))
        assert [one.status for one in replies] == [200] * 6
        assert service.connections == 2

    against(service, tmp_path, act)


def test_more_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    service = ScriptedService()
    service.delay_seconds = 0.02

    async def act(client: ServiceClient) -> None:
        sent = [client.send(REQUEST) for _ in range(10)]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert [isinstance(one, ServiceReply) for one in outcomes] == [True] * 5 + [False] * 5
        assert {one.reason for one in outcomes if isinstance(one, NoAnswerError)} == {"overloaded"}

    against(service, tmp_path, act)


def test_a_late_answer_is_not_waited_for_and_never_given_to_another_request(tmp_path: Path) -> None:
    service = ScriptedService()

    async def act(client: ServiceClient) -> None:
        service.delay_seconds = 0.3
        assert await reason(client) == "late"
        service.delay_seconds, service.version = 0.0, "v2"
        for _ in range(3):
            assert b'"version": "v2"' in (await client.send(REQUEST)).body

    against(service, tmp_path, act)


def test_without_a_listener_it_is_unreachable_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        client = ServiceClient(ServiceAddress(tmp_path / "missing"), ClientLimits(seconds=60))
        assert await reason(client) == "unreachable"

    asyncio.run(asyncio.wait_for(run(), 5))


def test_a_connection_that_ends_before_the_answer_is_lost(tmp_path: Path) -> None:
    service = ScriptedService()
    service.answer = lambda request: None
    against(service, tmp_path, _lost)


async def _lost(client: ServiceClient) -> None:
    with pytest.raises(NoAnswerError, match="lost") as error:
        await client.send(REQUEST)
    assert not error.value.was_idle, "it was new"


def test_a_service_that_closes_after_each_answer_is_asked_on_new_connections(tmp_path: Path) -> None:
    service = ScriptedService()
    service.closes = True

    async def act(client: ServiceClient) -> None:
        for _ in range(3):
            assert (await client.send(REQUEST)).status == 200
            await asyncio.sleep(0.01)  # so that the end of the connection has come
        assert service.connections == 3

    against(service, tmp_path, act)


def test_what_is_not_http_ends_the_connection(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"hello\r\n\r\n")
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_unix_server(nonsense, str(tmp_path / "socket"))
        client = ServiceClient(ServiceAddress(tmp_path / "socket"), LIMITS)
        assert await reason(client) == "lost"
        client.close()
        await asyncio.sleep(0.01)  # so that both ends have closed
        server.close()

    asyncio.run(run())
