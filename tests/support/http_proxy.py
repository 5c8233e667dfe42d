"""An HTTP proxy on the loopback that leads every host to one port: tunnels (CONNECT) and plain requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


class HttpProxy:
    """A running proxy. `asked` has the head of each request to it."""

    def __init__(self, leads_to: int, login: str | None = None) -> None:
        self.asked: list[str] = []
        self._leads_to, self._login = leads_to, login
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Serve until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._lead, args=(client,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _lead(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4_096)
            text = head.decode("latin-1")
            self.asked.append(text)
            if self._login is not None and f"Proxy-Authorization: Basic {self._login}" not in text:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self._leads_to)) as server:
                if text.startswith("CONNECT "):
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head)
                back = Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join(5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def http_proxy(leads_to: int, login: str | None = None) -> Iterator[HttpProxy]:
    """A running proxy.

    Args:
        leads_to: The port that it connects to, whichever host it is asked for.
        login: What follows Basic in Proxy-Authorization; None: all may use it.
    """
    proxy = HttpProxy(leads_to, login)
    thread = Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)
