"""Where a service listens: what is read from an address, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.experiments.service_address import MAX_SOCKET_BYTES, ServiceAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/a b.sock", ServiceAddress(Path("/run/a b.sock"))),
        ("http://10.0.0.7:3001", ServiceAddress(None, "10.0.0.7", 3001)),
        ("http://models", ServiceAddress(None, "models", 80)),
        ("https://models.example/", ServiceAddress(None, "models.example", 443, True)),
        ("http://[::1]:3001", ServiceAddress(None, "::1", 3001)),
    ],
)
def test_an_address_is_read(text: str, address: ServiceAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:relative.sock",
        "file:/x",
        "http://",
        "http://me:secret@host",
        "http://host/path",
        "host:80",
    ],
)
def test_others_are_refused(text: str) -> None:
    with pytest.raises(TastemakerError):
        parse_address(text)


def test_a_socket_may_have_as_long_a_path_as_the_system_takes() -> None:
    longest = "unix:/" + "x" * (MAX_SOCKET_BYTES - 1)
    assert parse_address(longest).socket is not None
    with pytest.raises(TastemakerError, match="at most 107 bytes"):
        parse_address(longest + "x")
