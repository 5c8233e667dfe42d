"""The leaderboard over all backtests."""

import base64
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from tastemaker.html import index
from tastemaker_pipelines.common import PRODUCT_TEAM, readable_failures
from tastemaker_pipelines.data_versions import version_of
from tastemaker_pipelines.resources import WorkspaceResource


def leaderboard_asset(models: Sequence[str]) -> dg.AssetsDefinition:
    """Return the asset `leaderboard`, which compares the backtests of these models."""

    @dg.asset(
        group_name="evaluation",
        deps=[dg.AssetKey(["backtests", name]) for name in models],
        kinds={"html"},
        owners=[PRODUCT_TEAM],
        description=(
            "All models side by side on the period after the training window: each metric with its 95 % "
            "interval, and the paired difference from the baseline."
        ),
    )
    def leaderboard(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
        with readable_failures():
            opened = workspace.open()
            board = opened.leaderboard()
            reports = opened.settings.reports
            page, picture = reports / "leaderboard.html", reports / "leaderboard.png"
            board.write_html(page)
            board.plot(picture)
            index.include(page, reports)
        best = board.rows[0]
        compared = [(row.backtest.id, row.verdict) for row in board.rows]
        failures = [(one.model, one.reason) for one in board.failures]
        return dg.MaterializeResult(
            data_version=version_of(board.metric, compared, failures),
            metadata={
                "best": best.model,
                board.metric: best.backtest.metrics[board.metric].value,
                "verdict": best.verdict,
                "users_evaluated": board.users,
                "failed": ", ".join(one.model for one in board.failures) or "none",
                "page": dg.MetadataValue.path(str(page.resolve())),
                "plot": dg.MetadataValue.md(_embedded(picture)),
            },
        )

    return leaderboard


def _embedded(picture: Path) -> str:
    return f"![leaderboard](data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()})"
