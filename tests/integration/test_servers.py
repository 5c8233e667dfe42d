"""The servers that other tests rely on: each test gets an empty one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest
import redis
from sqlalchemy import NullPool, create_engine, inspect, text

from support.repository import ROOT
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


def test_a_free_port_is_given_to_one_caller_only() -> None:
    """It is not among those that the system gives out, and no second test and no listener has it."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    with ExitStack() as servers:
        for port in ports:
            assert 1_024 <= port < 32_768, "Linux gives out those above, other systems those from 49,152"
            servers.enter_context(socket.create_server(("127.0.0.1", port)))
        again = subprocess.run(
            [sys.executable, "-c", _GIVE, *map(str, ports)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
            capture_output=True,
            text=True,
            check=True,
        )
    assert not {int(port) for port in again.stdout.split()} & set(ports)


_GIVE = """
import sys
from support import servers

servers._PORTS = iter([*map(int, sys.argv[1:]), servers.free_port()])
print(servers.free_port())
"""
"""Give a free port where all of those that are named are in use."""
