"""Packed files: one table in a .gz, .bz2, .xz or .zip, unpacked into a folder for temporary files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from tastemaker.errors import SourceError

_OPEN: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
PACKED = (*_OPEN, ".zip")
_COPY_BYTES = 1 << 20


def unpack(path: Path, folder: Path, kinds: Sequence[str]) -> tuple[Path, str]:
    """Unpack the table in a file, and return its path and its name.

    A name without a kind, such as orders.gz, is taken for CSV.

    Args:
        path: The packed file.
        folder: Where the unpacked file is written.
        kinds: The suffixes of files that can be read as tables.

    Raises:
        SourceError: The file is damaged, or a .zip does not hold exactly one table.
    """
    try:
        if path.suffix.lower() == ".zip":
            with ZipFile(path) as packed:
                member = _only_member(path, packed, kinds)
                with packed.open(member) as inner:
                    return _copied(inner, folder, member.filename), member.filename
        name = path.stem if PurePosixPath(path.stem).suffix.lower() in kinds else f"{path.stem}.csv"
        with _OPEN[path.suffix.lower()](path) as inner:
            return _copied(inner, folder, name), name
    except (
        OSError,
        EOFError,
        BadZipFile,
        RuntimeError,
        NotImplementedError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise SourceError(
            f"{path} can't be unpacked: {' '.join(str(error).split())[:200]}",
            fix="check that it is what its name says; copy or export it again, without a password",
        ) from error


def _only_member(path: Path, packed: ZipFile, kinds: Sequence[str]) -> ZipInfo:
    """Return the only table in a .zip file; files that macOS and others add do not count."""
    members = [
        member
        for member in packed.infolist()
        if not member.is_dir() and not PurePosixPath(member.filename).parts[0].startswith(("__MACOSX", "."))
    ]
    tables = [member for member in members if PurePosixPath(member.filename).suffix.lower() in kinds]
    if len(tables) != 1:
        names = ", ".join(member.filename for member in members[:5]) or "nothing"
        raise SourceError(
            f"{path} holds {len(tables)} tables, must hold one: it has {names}",
            fix="unpack it, and name each table by itself: source.path, source.items, source.users",
        )
    return tables[0]


def _copied(inner: IO[Any], folder: Path, name: str) -> Path:
    copy = folder / f"unpacked-{len(list(folder.glob('unpacked-*')))}{PurePosixPath(name).suffix.lower()}"
    with copy.open("wb") as written:
        shutil.copyfileobj(inner, written, _COPY_BYTES)
    return copy
