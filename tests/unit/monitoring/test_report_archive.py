"""Dated reports: a page and its row come and go together, and the newest of each version are kept."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, RowMapping, delete, insert, select

from tastemaker.monitoring.report_archive import KEPT, PAGE, ReportArchive, ReportSubject
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import reports

NOW = datetime(2026, 11, 29, 3, tzinfo=UTC)
DATA = ReportSubject("data_quality", "small shop")
OTHER = ReportSubject("ranking", "small shop")


@pytest.fixture
def archive(tmp_path: Path) -> ReportArchive:
    return ReportArchive(open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}"), tmp_path / "reports")


def rows(engine: Engine) -> list[RowMapping]:
    with engine.connect() as connection:
        return list(connection.execute(select(reports).order_by(reports.c.created_at)).mappings())


def write(archive: ReportArchive, number: int, subject: ReportSubject = DATA) -> Path:
    pages = {PAGE: f"<html><head><title>Report {number}</title></head></html>", "more.html": "more"}
    return archive.write(subject, {"number": number}, pages, created_at=NOW + timedelta(days=number))


def agree(archive: ReportArchive) -> bool:
    """Return whether each row has a page, and each folder of a report a row."""
    pages = {str(page.resolve()) for page in archive.folder.rglob(PAGE)}
    return pages == {row["path"] for row in rows(archive.engine)}


def test_a_report_has_a_row_its_pages_and_a_link_in_the_index(archive: ReportArchive) -> None:
    page = write(archive, 1)
    (row,) = rows(archive.engine)
    assert (row["kind"], row["problem"], row["version_id"]) == ("data_quality", "small shop", None)
    assert (row["summary"], row["path"]) == ({"number": 1}, str(page))
    assert sorted(path.name for path in page.parent.iterdir()) == ["more.html", PAGE]
    assert str(page.relative_to(archive.folder.resolve())) in (archive.folder / "index.html").read_text()


def test_the_newest_of_each_kind_are_kept_on_disk_and_in_the_table(archive: ReportArchive) -> None:
    for number in range(KEPT + 3):
        write(archive, number)
    write(archive, 0, OTHER)
    kept = [row["summary"]["number"] for row in rows(archive.engine) if row["kind"] == DATA.kind]
    assert kept == list(range(3, KEPT + 3))
    assert len(rows(archive.engine)) == KEPT + 1
    assert agree(archive)


def test_a_report_of_the_same_time_replaces_the_one_before(archive: ReportArchive) -> None:
    write(archive, 1)
    pages = {PAGE: "<html><head><title>Again</title></head></html>"}
    page = archive.write(DATA, {"number": 2}, pages, created_at=NOW + timedelta(days=1))
    assert [row["summary"]["number"] for row in rows(archive.engine)] == [2]
    assert [path.name for path in page.parent.iterdir()] == [PAGE]


def test_a_report_that_can_not_be_stored_leaves_nothing(archive: ReportArchive) -> None:
    write(archive, 1)
    with pytest.raises(Exception, match="not JSON serializable"):
        archive.write(DATA, {"number": object()}, {PAGE: "page"}, created_at=NOW + timedelta(days=2))
    assert [row["summary"]["number"] for row in rows(archive.engine)] == [1]
    assert agree(archive)


def test_an_old_report_that_can_not_be_deleted_stays_whole(
    archive: ReportArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(KEPT):
        write(archive, number)
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if Path(target).name.startswith("."):
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(PermissionError):
        write(archive, KEPT)
    assert [row["summary"]["number"] for row in rows(archive.engine)] == list(range(KEPT))
    assert agree(archive)


def test_the_next_report_removes_what_an_interrupted_process_left(archive: ReportArchive) -> None:
    without_page, without_row = write(archive, 1), write(archive, 2)
    shutil.rmtree(without_page.parent)
    with archive.engine.begin() as connection:
        connection.execute(delete(reports).where(reports.c.path == str(without_row)))
    write(archive, 3)
    assert [row["summary"]["number"] for row in rows(archive.engine)] == [3]
    assert agree(archive)
    assert not without_row.exists()


def test_reports_of_another_home_folder_remain(archive: ReportArchive) -> None:
    elsewhere = {"kind": DATA.kind, "problem": DATA.problem, "summary": {"number": 0}, "created_at": NOW}
    with archive.engine.begin() as connection:
        connection.execute(insert(reports).values(**elsewhere, path="/another/home/reports/x/report.html"))
    write(archive, 1)
    assert [row["summary"]["number"] for row in rows(archive.engine)] == [0, 1]


def test_erasing_one_file_erases_its_whole_report(archive: ReportArchive) -> None:
    page, kept = write(archive, 1), write(archive, 2)
    archive.erase(page.with_name("more.html"))
    assert not page.parent.exists()
    assert [row["path"] for row in rows(archive.engine)] == [str(kept)]


def test_erasing_a_file_outside_of_the_archive_erases_that_file(archive: ReportArchive) -> None:
    page = write(archive, 1)
    plot = archive.folder / "leaderboard.png"
    plot.write_bytes(b"picture")
    archive.erase(plot)
    assert not plot.exists()
    assert page.exists()
