"""The servers that other tests rely on: each test gets an empty one."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
import redis
from sqlalchemy import NullPool, create_engine, inspect, text

from support.servers import free_port

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_an_empty_database(postgres_url: str, attempt: int) -> None:
    engine = create_engine(postgres_url, poolclass=NullPool)
    assert inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE left_behind (attempt integer)"))


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_an_empty_redis(redis_url: str, attempt: int) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.dbsize() == 0
        client.set("left_behind", attempt)


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] >= 1024
