"""Files that appear whole or not at all, and paths for libraries that take a path for more than a name."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tastemaker.errors import TastemakerError

_PLAIN = re.compile(r"[\w/.+@ -]*")
"""Paths that no library takes for a pattern or for parts of a URL."""


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """A new file beside `path` to write to; it takes the place of `path` when the block ends well.

    If the block raises, `path` stays as it was and the new file is gone. The folder is made if it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(mode)  # mkstemp's files are private
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sqlite_url(path: Path) -> str:
    """The SQLAlchemy URL of a SQLite file, wherever it is: a `?` in a plain URL would end the file's name."""
    absolute = path.resolve()
    return f"sqlite:///{absolute.as_uri()}?uri=true" if "?" in str(absolute) else f"sqlite:///{absolute}"


def plain_path(path: Path, *, plain: re.Pattern[str] = _PLAIN) -> Path:
    """A path to the same place for libraries that take `[`, `?` or `#` for a pattern or a part of a URL.

    The path itself where every name in it is `plain`; else it starts with a link, in a private folder for
    temporary files, the same each time. Raises TastemakerError if that folder belongs to another user.
    """
    absolute = Path(os.path.abspath(path))
    hostile = [place for place, part in enumerate(absolute.parts) if not plain.fullmatch(part)]
    if not hostile:
        return absolute
    target, rest = Path(*absolute.parts[: hostile[-1] + 1]), absolute.parts[hostile[-1] + 1 :]
    link = _links() / hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
    if not link.is_symlink() or link.readlink() != target:
        fresh = Path(tempfile.mkdtemp(dir=link.parent)) / "link"
        fresh.symlink_to(target)
        fresh.replace(link)
        fresh.parent.rmdir()
    return link.joinpath(*rest)


def _links() -> Path:
    """Where links are: a folder that no other user can write to."""
    links = Path(tempfile.gettempdir()).resolve() / f"tastemaker-links-{os.getuid()}"
    links.mkdir(mode=0o700, exist_ok=True)
    status = links.lstat()
    if links.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise TastemakerError(
            f"{links} can be written by others", fix="remove it, or set TMPDIR to a folder of yours"
        )
    return links
