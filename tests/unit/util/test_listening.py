"""Sockets of servers: free, taken, and of another machine."""

from __future__ import annotations

import socket

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.util.listening import listen


def test_a_taken_port_is_refused_with_what_to_do() -> None:
    with listen("127.0.0.1", 0, fix="none") as made:
        made.listen()
        port = made.getsockname()[1]
        with pytest.raises(TastemakerError, match=rf"can't listen on 127\.0\.0\.1:{port}: ") as refused:
            listen("127.0.0.1", port, fix="pass --port")
        assert refused.value.fix == "pass --port"


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(TastemakerError, match=r"can't listen on 192\.0\.2\.1:0: "):
        listen("192.0.2.1", 0, fix="none")


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_an_address_with_colons_is_ipv6() -> None:
    try:
        made = listen("::1", 0, fix="none")
    except TastemakerError:
        pytest.skip("this machine has no IPv6 address")
    with made:
        assert made.family == socket.AF_INET6
