"""Measure a feature ablation, write its plot and page, and store its result."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert

from tastemaker.evaluation.robustness import ablation_report
from tastemaker.evaluation.robustness.ablation import Ablation, ablation
from tastemaker.html import index
from tastemaker.storage.tables import reports

if TYPE_CHECKING:
    from tastemaker.evaluation.backtest import Report
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.workflows.workspace import Workspace

KIND = "ablation"


def measure(
    opened: Workspace,
    plugin: Plugin,
    features: Collection[str] = (),
    report: Report | None = None,
    *,
    picture: Path | None = None,
) -> tuple[Ablation, Path]:
    """Measure the ablation of a model.

    Args:
        opened: The home folder, whose data count, and in which the report is written.
        plugin: The model.
        features: The features to leave out, one at a time; empty for all.
        report: Called after each backtest.
        picture: The path of the plot; None for the folder of reports.

    Returns:
        The ablation, and the page's path.

    Raises:
        TastemakerError: The model declares no feature, or has none of a given name.
    """
    found = ablation(opened.backtester(plugin), features, report)
    folder = opened.settings.reports
    picture = picture or folder / f"ablation-{plugin.name}.png"
    page = index.page_beside(picture)
    ablation_report.draw(found, picture)
    ablation_report.write_page(found, picture, page)
    index.include(page, folder)
    with opened.engine.begin() as connection:
        connection.execute(
            insert(reports).values(
                kind=KIND,
                problem=found.problem,
                summary=ablation_report.to_dict(found),
                path=str(page),
                created_at=datetime.now(UTC),
            )
        )
    return found, page
