"""Errors of the operating system in one sentence, such as a full disk or a read-only folder.

Libraries wrap such errors, and some only quote them, so the whole chain of causes is searched.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from tastemaker.errors import TastemakerError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a full disk or quota."""

_ROOM = "free some space there, or set TASTEMAKER_HOME to a folder on a disk that has it"
_RIGHTS = "let this account write there, or set TASTEMAKER_HOME to a folder where it may"
_PLACE = "check the path, or set TASTEMAKER_HOME to a folder that can be made"
_FIXES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOTDIR: _PLACE,
    errno.EEXIST: _PLACE,
    errno.EISDIR: _PLACE,
    errno.ENOENT: _PLACE,
    errno.ENAMETOOLONG: _PLACE,
    errno.ELOOP: _PLACE,
    errno.EIO: "check the disk",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
}
_QUOTED = {
    **{os.strerror(number): _FIXES[number] for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)},
    os.strerror(errno.EACCES): _RIGHTS,
    "database or disk is full": _ROOM,
    "disk I/O error": _ROOM,
    "attempt to write a readonly database": _RIGHTS,
    "unable to open database file": _RIGHTS,
}
"""Texts of SQLite, DuckDB and Arrow errors, which have no error number."""


def in_words(error: BaseException, *, of: str = "a file") -> TastemakerError | None:
    """Return an error that the operating system caused as one that says what to do; None if it caused none.

    Args:
        error: The error; its causes and contexts are searched, too.
        of: The file that was used, named in the message where the error does not name it.
    """
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in _FIXES:
            where = os.fsdecode(cause.filename) if isinstance(cause.filename, str | bytes) else of
            return _refusal(where, cause.strerror or os.strerror(cause.errno), _FIXES[cause.errno])
    for cause in _chain(error):
        text = str(cause)
        for words, fix in _QUOTED.items():
            if words.lower() in text.lower():
                return _refusal(_quoted_path(text) or of, words, fix)
    return None


def _refusal(where: str, reason: str, fix: str) -> TastemakerError:
    return TastemakerError(f"{where} can't be used: {reason}", fix=fix)


def _quoted_path(text: str) -> str | None:
    """Return the first absolute path in quotes."""
    found = re.search(r"""["'](/[^"'\n]+)["']""", text)
    return None if found is None else found[1]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, its causes and its contexts, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__context__, getattr(one, "orig", None), one.__cause__]
