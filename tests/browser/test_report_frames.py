"""Evidently's document in the dashboard: drawn in its sandbox, under its policy, without a request."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from support.browsers import browsing
from support.dashboard_homes import dashboard_server
from tastemaker.evaluation.ranking_report import ranking_rows
from tastemaker.monitoring import evidently_pages
from tastemaker.monitoring.report_archive import PAGE, ReportArchive, ReportSubject
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

# Evidently's own use of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
DRAWN_MS = 60_000


def test_evidentlys_document_is_drawn_in_a_sandbox(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = load_settings(home=home)
    lists, relevant = np.array([[0, 1], [2, 1]], np.int32), csr_array(np.eye(2, 3))
    document = evidently_pages.ranking("Lists", ranking_rows(lists, relevant), 2).document
    pages = {PAGE: "<html><head><title>Report</title></head></html>", "ranking-evidently.html": document}
    engine = open_engine(settings.metadata_url)
    archive = ReportArchive(engine, settings.reports)
    subject = ReportSubject("drift", "shop")
    summary: dict[str, Any] = {"verdict": "Nothing changed.", "note": None, "columns": []}
    archive.write(subject, summary, pages, created_at=datetime.now(UTC))
    engine.dispose()
    with dashboard_server(home) as url, browsing(tmp_path / "browser") as browser:
        page = browser.open(f"{url}/reports/1?document=ranking-evidently.html")
        frame = page.frame_locator("iframe.report")
        frame.get_by_text("NDCG (top-2)").wait_for(timeout=DRAWN_MS)
        frame.locator("svg.main-svg").first.wait_for(timeout=DRAWN_MS)
        opened = next(one for one in page.frames if one != page.main_frame)
        assert opened.evaluate("window.origin") == "null"
        assert opened.evaluate("fetch('/reports').then(() => 'read', () => 'refused')") == "refused"
        assert not browser.foreign
