"""Text files in any encoding as UTF-8 with one kind of line end, which is all that DuckDB reads.

A file that is so already is read where it is; any other is copied, a chunk at a time. Nothing is guessed
silently: a detected encoding is a warning that quotes a line, and a byte that does not fit is an error with
its line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tastemaker.data.tabular.encodings import BOMS, Detected, detect, without_bom
from tastemaker.errors import SourceError

CHUNK_BYTES = 1 << 22
FIX = 'if the encoding is another one, name it in tastemaker.toml, under [source]: encoding = "cp1252"'


class Text(NamedTuple):
    """A text file that DuckDB can read."""

    path: Path
    """The file itself, or a copy of it in UTF-8."""
    encoding: str
    """What the file is in."""
    warnings: tuple[str, ...] = ()


class _Scan(NamedTuple):
    """What the bytes of a file are."""

    invalid_at: int | None
    """The first byte that is not UTF-8, if any."""
    mixed_ends: bool
    """Whether lines end in different ways, be it within quotes."""


def as_utf8(path: Path, folder: Path, encoding: str | None, named: Path, *, with_mark: bool = True) -> Text:
    """Return the file as UTF-8 text with one kind of line end.

    Args:
        path: The file to convert, unpacked.
        folder: Where a converted copy is written, if one is needed.
        encoding: The file's encoding; None: detected.
        named: The name of the file in messages.
        with_mark: Whether a byte order mark before UTF-8 may stay: DuckDB reads it as CSV, not as JSON.

    Raises:
        SourceError: The encoding does not allow a byte; the message names its line and place.
    """
    if encoding is not None:
        return _copied(path, folder, _known(encoding), named)
    with path.open("rb") as file:
        head = file.read(CHUNK_BYTES)
    wide = next((name for bom, name in BOMS if head.startswith(bom)), None) or without_bom(head)
    if wide is not None:
        return _copied(path, folder, wide, named)
    if head.startswith(codecs.BOM_UTF8) and not with_mark:
        return _copied(path, folder, "utf-8", named)
    scan = _scan(path)
    if scan.invalid_at is None:
        text = Text(path, "utf-8")
        return _one_end(text, folder) if scan.mixed_ends else text
    detected = detect(path)
    if detected is None:
        raise _misfit(path, named, "utf-8", scan.invalid_at)
    copy = _copied(path, folder, detected.encoding, named)
    guess = _guess(path, named, detected)
    return copy._replace(warnings=(guess, *copy.warnings))


def _known(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        found = None
    if found is None or not found._is_text_encoding:
        raise SourceError(
            f"source.encoding is {encoding!r}, which names no encoding of text",
            fix='use a name such as "utf-8", "cp1252", "latin-1", "utf-16" or "shift_jis"',
        )
    return found.name


def _guess(path: Path, named: Path, detected: Detected) -> str:
    with path.open("rb") as file:
        quoted = next(text for number, text in enumerate(file, start=1) if number == detected.line)
    shown = quoted.decode(detected.encoding, "replace").strip()[:120]
    return (
        f"{named} is not UTF-8 and is read as {detected.encoding}: line {detected.line} reads {shown!r}. If "
        "that is wrong, name the encoding: source.encoding"
    )


def _scan(path: Path) -> _Scan:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = crlf = lf = cr = 0
    ends_in_cr = False
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            pending = len(decoder.getstate()[0])
            if pending or not chunk.isascii():
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    return _Scan(read - pending + error.start, False)
            read += len(chunk)
            lf += chunk.count(b"\n")
            if b"\r" in chunk or ends_in_cr:
                cr += chunk.count(b"\r")
                crlf += chunk.count(b"\r\n") + (ends_in_cr and chunk.startswith(b"\n"))
            ends_in_cr = chunk.endswith(b"\r")
    pending = len(decoder.getstate()[0])
    return _Scan(read - pending if pending else None, sum(n > 0 for n in (crlf, lf - crlf, cr - crlf)) > 1)


def _copied(path: Path, folder: Path, encoding: str, named: Path) -> Text:
    """Write a copy in UTF-8, without a byte order mark, and with one kind of line end."""
    copy = folder / f"utf8-{len(list(folder.glob('utf8-*')))}{path.suffix}"
    with copy.open("wb") as written:
        for chunk in _decoded(path, encoding, named):
            written.write(chunk.encode("utf-8", "surrogatepass"))
    text = Text(copy, encoding)
    return _one_end(text, folder) if _scan(copy).mixed_ends else text


def _decoded(path: Path, encoding: str, named: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK_BYTES)
            pending = len(state) if isinstance(state := decoder.getstate()[0], bytes) else 0
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise _misfit(path, named, encoding, read - pending + error.start) from None
            yield text.removeprefix("\ufeff") if read == 0 else text
            read += len(chunk)
            if not chunk:
                return


def _misfit(path: Path, named: Path, encoding: str, at: int) -> SourceError:
    """Return the error that the byte at `at` is not text in this encoding."""
    with path.open("rb") as file:
        before = file.read(at)
        byte = file.read(1)
    wide = encoding.startswith(("utf-16", "utf-32"))
    line = before.count(b"\n") + 1
    column = at - (before.rfind(b"\n") + 1) + 1
    where = f"byte {at + 1}" if wide else f"line {line}, byte {column} of the line"
    what = f"0x{byte[0]:02X}" if byte else "the end of the file"
    return SourceError(
        f"{named}, {where}: {what} can't be read as {encoding}", fix=f"correct that place; or, {FIX}"
    )


def _one_end(text: Text, folder: Path) -> Text:
    """End every line outside quotes by a line feed, if there are different ends outside quotes."""
    firsts: dict[bytes, int] = {}
    copy = folder / f"lines-{len(list(folder.glob('lines-*')))}{text.path.suffix}"
    with copy.open("wb") as written:
        lines, quoted = 0, False
        for chunk in _whole_lines(text.path):
            inside = (np.cumsum(np.frombuffer(chunk, np.uint8) == ord('"')) + quoted) % 2 == 1
            kept = 0
            for end in re.finditer(rb"\r\n|\n|\r", chunk):
                lines += 1
                if not inside[end.start()]:
                    firsts.setdefault(end[0], lines)
                    written.write(chunk[kept : end.start()] + b"\n")
                    kept = end.end()
            written.write(chunk[kept:])
            quoted = bool(inside[-1])
    if len(firsts) < 2:
        return text
    shown = ", ".join(f"{_NAMES[end]} on line {line}" for end, line in firsts.items())
    return text._replace(
        path=copy, warnings=(*text.warnings, f"lines end in different ways, first {shown}: each ends a line")
    )


_NAMES = {b"\r\n": "CR LF", b"\n": "LF", b"\r": "CR"}


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the file in chunks that do not part CR from LF."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if chunk.endswith(b"\r"):
                chunk += file.read(1)
            yield chunk
