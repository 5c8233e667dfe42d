"""The client log of a simulation: every answer that it got and every event that was acknowledged.

One JSON object per line. A line counts once `flush` has put it on disk, so that every entry in the file after
a crash did happen; a line that a crash cut short is dropped when the file is opened again. Service logs are
compared with it (`log_audit`), so it shares no code with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tastemaker.errors import TastemakerError


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """Entry of the client log: a run of the simulator begins."""

    run: str
    url: str
    seed: int


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """Entry of the client log: a list arrived."""

    request_id: str
    user_id: str | None
    """Null for an anonymous user."""
    stage: str
    item_ids: list[str]


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """Entry of the client log: the service said that it has these events on disk."""

    event_ids: list[str]


class GivenUp(msgspec.Struct, frozen=True, tag="abandoned"):
    """Entry of the client log: these events were sent and never acknowledged.

    The service's log may hold each of them once, or not at all.
    """

    event_ids: list[str]
    why: str


Entry = Begun | Answered | Acknowledged | GivenUp
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class ClientLogError(TastemakerError):
    """A client log can't be read or written."""


class ClientLog:
    """A writer that appends to a client log, which may hold earlier runs.

    Call `note` from one thread. Any thread may call `flush`, but not two at the same time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[bytes] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            self._file.truncate(_whole(path))
        except OSError as error:
            raise _failed(path, error) from error

    def note(self, entry: Entry) -> None:
        """Keep an entry, to be written by the next flush."""
        self._waiting.append(_encode(entry))

    def flush(self) -> None:
        """Write the noted entries to disk. Raises ClientLogError."""
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _failed(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush the remaining entries, and close the file."""
        try:
            self.flush()
        finally:
            self._file.close()


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a client log, oldest first. Raises ClientLogError naming a malformed line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):  # else a crash cut it short: it never counted
                    yield _entry(path, number, line)
    except OSError as error:
        raise _failed(path, error) from error


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry: Entry = _decode(line)
        return entry
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientLogError(
            f"{path}, line {number}, is not an entry of a client log: {error}",
            fix="name a file that tastemaker simulate wrote",
        ) from error


def _whole(path: Path) -> int:
    """Return the number of bytes up to the end of the last whole line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            start = max(0, size - 65_536)
            file.seek(start)
            end = file.read(size - start).rfind(b"\n")
            if end >= 0:
                return start + end + 1
            size = start
    return 0


def _failed(path: Path, error: OSError) -> ClientLogError:
    return ClientLogError(
        f"the client log {path}: {error.strerror or error}", fix="name a file in a folder that is yours"
    )
