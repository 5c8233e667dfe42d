"""Calls over the network: a deadline that holds whatever the other side does, and errors in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPException
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
BEYOND_SECONDS = 5.0
"""By how much a socket's own timeout is longer than the deadline, so that the deadline ends the call."""


def call_within(seconds: float, work: Callable[[], T], abort: Callable[[], None]) -> T:
    """Return what `work` returns.

    It runs in a thread of its own, since a timeout of a socket starts again with each byte, and the look-up
    of an address has none.

    Args:
        seconds: Seconds after which the call is given up.
        work: The call, which may outlive the deadline in its thread.
        abort: Ends the call from outside, by closing its connection.

    Raises:
        TimeoutError: If the deadline passed; `work` may still be ending.
        Exception: What `work` raises.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # it belongs to the caller
            result.set_exception(error)

    Thread(target=run, name="notification", daemon=True).start()
    try:
        return result.result(seconds)
    except TimeoutError:
        abort()
        raise


def close_socket(connection: socket.socket | None) -> None:
    """Close a connection that another thread waits for: that thread gets an error at once."""
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def network_error(host: str, error: BaseException) -> str:
    """Return why a host can't be reached, in one line that repeats no URL.

    Args:
        host: The host's name, which the text repeats.
        error: What sockets, ssl, http.client, smtplib or urllib3 raised.
    """
    cause = error
    while not isinstance(cause, OSError | HTTPException) and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__ or cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{host} can't be reached: its certificate is not valid: {cause.verify_message}"
    words = (cause.strerror or str(cause)) if isinstance(cause, OSError) else None
    return f"{host} can't be reached: {words or type(cause).__name__}"
