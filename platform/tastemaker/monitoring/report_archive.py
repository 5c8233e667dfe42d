"""The archive of dated reports: pages in folders, summaries in the table `reports`.

    reports/KIND/MODEL-VERSION/2026-11-29T03-00-00.000000/report.html    the page, and others that it links

Of each kind and version, the newest KEPT reports are kept. A report's folder and row appear together and are
deleted together: the row decides, and the next report of that version removes what an interrupted process
left of either.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select

from tastemaker.html import index
from tastemaker.storage.tables import reports
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

ReportKind = Literal["drift", "data_quality", "ranking", "ablation"]
KEPT = 30
"""Number of reports that are kept per kind and version."""
PAGE = "report.html"
ALL_VERSIONS = "all"
"""The folder of reports that are not about one version."""
_LOCK = ".archive.lock"


class ReportSubject(NamedTuple):
    """What a report is about."""

    kind: ReportKind
    problem: str
    version_id: str | None = None
    """None: no single version."""
    model: str = ""

    @property
    def folder(self) -> Path:
        """The folder of its reports, relative to the archive."""
        name = ALL_VERSIONS if self.version_id is None else f"{self.model}-{self.version_id}"
        return Path(self.kind) / name


@dataclass(frozen=True)
class ReportArchive:
    """The reports of a home folder."""

    engine: Engine
    folder: Path

    def write(
        self,
        subject: ReportSubject,
        summary: Mapping[str, Any],
        pages: Mapping[str, str],
        *,
        created_at: datetime,
        window: tuple[datetime | None, datetime | None] = (None, None),
    ) -> Path:
        """Add a report, delete those beyond KEPT, and return the path of its page.

        Args:
            subject: What it is about. A report of the same subject and time is replaced.
            summary: What it says, as JSON.
            pages: File name -> HTML document; PAGE is the report's own, and links the others.
            created_at: When it was made.
            window: The period of the rows that it covers, the end not included.

        Raises:
            OSError: The folder can't be written; then neither a page nor a row of this report is left.
        """
        home = (self.folder / subject.folder).resolve()
        page = home / created_at.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f") / PAGE
        partial = home / ".partial"
        with file_lock(self.folder / _LOCK), _all_or_nothing(page.parent, partial):
            self._remove_leftovers(subject, home)
            for name, document in pages.items():
                with atomic_write(partial / name) as file:
                    file.write_text(document, "utf-8")
            with self.engine.begin() as connection:
                connection.execute(delete(reports).where(reports.c.path == str(page)))
                connection.execute(
                    insert(reports).values(
                        kind=subject.kind,
                        problem=subject.problem,
                        version_id=subject.version_id,
                        summary=dict(summary),
                        path=str(page),
                        window_start=window[0],
                        window_end=window[1],
                        created_at=created_at,
                    )
                )
                shutil.rmtree(page.parent, ignore_errors=True)
                partial.rename(page.parent)
                self._remove_old(connection, subject)
        index.rewrite(self.folder)
        return page

    def erase(self, file: Path) -> None:
        """Delete the report that a file belongs to, or only the file if it is not one of the archive."""
        page = file.resolve().with_name(PAGE)
        with file_lock(self.folder / _LOCK), self.engine.begin() as connection:
            if connection.execute(delete(reports).where(reports.c.path == str(page))).rowcount:
                shutil.rmtree(page.parent)
            else:
                file.unlink(missing_ok=True)

    def _remove_old(self, connection: Connection, subject: ReportSubject) -> None:
        newest = select(reports.c.id, reports.c.path).where(_about(subject))
        order = reports.c.created_at.desc(), reports.c.id.desc()
        for row in connection.execute(newest.order_by(*order).offset(KEPT)).all():
            connection.execute(delete(reports).where(reports.c.id == row.id))
            self._remove_folder(Path(row.path))

    def _remove_folder(self, page: Path) -> None:
        """Delete a report's folder, at once and not file by file. Pages outside of the archive remain."""
        if page.name != PAGE or self.folder.resolve() not in page.parents or not page.parent.exists():
            return
        dying = page.parent.with_name(f".{page.parent.name}")
        page.parent.rename(dying)
        shutil.rmtree(dying, ignore_errors=True)  # what remains is removed with the leftovers

    def _remove_leftovers(self, subject: ReportSubject, home: Path) -> None:
        """Delete rows of this home folder without a page, and folders without a row."""
        with self.engine.begin() as connection:
            rows = connection.execute(select(reports.c.id, reports.c.path).where(_about(subject))).all()
            mine = {Path(row.path): row.id for row in rows if home in Path(row.path).parents}
            for page, number in mine.items():
                if not page.exists():
                    connection.execute(delete(reports).where(reports.c.id == number))
        for folder in home.glob("*"):
            if folder / PAGE not in mine:
                shutil.rmtree(folder)


def documents(folder: Path, path: str) -> dict[str, Path]:
    """Return the documents of a report by the names of their files; empty if its page no longer exists.

    Only files in the folder of reports are returned, wherever a row or a link points.

    Args:
        folder: The folder of all reports.
        path: The page, as the table `reports` has it.
    """
    page, root = Path(path), folder.resolve()
    files = page.parent.glob("*.html") if page.name == PAGE else [page]
    found = {file.name: file.resolve() for file in sorted(files) if file.is_file()}
    return {name: file for name, file in found.items() if root in file.parents}


def _about(subject: ReportSubject) -> Any:
    """Return the condition of the rows of a subject."""
    return (
        (reports.c.kind == subject.kind)
        & (reports.c.problem == subject.problem)
        & reports.c.version_id.is_not_distinct_from(subject.version_id)
    )


@contextmanager
def _all_or_nothing(*folders: Path) -> Iterator[None]:
    """Delete folders if the block raises."""
    try:
        yield
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise
