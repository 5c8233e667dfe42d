"""Atomic writes of files, and paths for libraries that read patterns or URLs into a path."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tastemaker.errors import TastemakerError

_PLAIN = re.compile(r"[\w/.+@ -]*")
"""Paths without characters that mean something in a pattern or a URL."""
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` when the block ends without an error.

    If the block raises, `path` is unchanged and the temporary file is removed. If the process is killed, the
    file remains until `remove_abandoned`: its writer holds a lock on it, which the operating system releases.

    Args:
        path: The file to write; its folder is created if it is missing.
        mode: The file's permissions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = _locked_temporary(path)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(mode)  # mkstemp's files are private
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """Create a temporary file beside a file. Its lock is held until the returned descriptor is closed."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # `remove_abandoned` found it before it was locked


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files of `atomic_write` anywhere in a folder whose writers were killed."""
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            with suppress(FileNotFoundError, BlockingIOError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file, whose path may contain a `?`."""
    absolute = path.resolve()
    return f"sqlite:///{absolute.as_uri()}?uri=true" if "?" in str(absolute) else f"sqlite:///{absolute}"


def plain_path(path: Path, *, plain: re.Pattern[str] = _PLAIN) -> Path:
    """Return a path to the same place without the characters of patterns and URLs, such as `[`, `?` and `#`.

    Args:
        path: Any path.
        plain: What every name in the result matches.

    Returns:
        The path itself if it is plain; else one through a link in a private temporary folder, the same each
        time.

    Raises:
        TastemakerError: That folder belongs to another user.
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
    """Return the folder of links, to which no other user can write."""
    links = Path(tempfile.gettempdir()).resolve() / f"tastemaker-links-{os.getuid()}"
    links.mkdir(mode=0o700, exist_ok=True)
    status = links.lstat()
    if links.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise TastemakerError(
            f"{links} can be written by others", fix="remove it, or set TMPDIR to a folder of yours"
        )
    return links
