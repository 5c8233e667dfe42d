"""Who is best, and who is served: the leaderboard and the champion."""

import base64
from pathlib import Path

import dagster as dg

from tastemaker.html import index
from tastemaker.plugins.discovery import Plugins
from tastemaker_pipelines.assets.common import MODEL_TEAM, PRODUCT_TEAM, told
from tastemaker_pipelines.assets.training import broken_names
from tastemaker_pipelines.resources import WorkspaceResource


def judgement_assets(plugins: Plugins) -> list[dg.AssetsDefinition]:
    """The leaderboard over these models' backtests, and the champion among their versions."""
    backtests = [*(one.name for one in plugins.sound), *broken_names(plugins.broken)]

    @dg.asset(
        group_name="judgement",
        deps=[dg.AssetKey(["backtests", name]) for name in backtests],
        kinds={"html"},
        owners=[PRODUCT_TEAM],
        description=(
            "All models side by side on the period after the training window: each metric with its 95 % "
            "interval, and the paired difference from the baseline."
        ),
    )
    def leaderboard(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
        with told():
            opened = workspace.open()
            board = opened.leaderboard()
            reports = opened.settings.reports
            page, picture = reports / "leaderboard.html", reports / "leaderboard.png"
            board.write_html(page)
            board.plot(picture)
            index.include(page, reports)
        best = board.rows[0]
        return dg.MaterializeResult(
            metadata={
                "best": best.model,
                board.metric: best.backtest.metrics[board.metric].value,
                "verdict": best.mark,
                "users_judged": board.users,
                "failed": ", ".join(one.model for one in board.failures) or "none",
                "page": dg.MetadataValue.path(str(page.resolve())),
                "plot": dg.MetadataValue.md(_embedded(picture)),
            }
        )

    @dg.asset(
        group_name="judgement",
        deps=[leaderboard, *(dg.AssetKey(["models", plugin.name]) for plugin in plugins.sound)],
        kinds={"python"},
        owners=[MODEL_TEAM],
        description=(
            "The version that is served where no model is named: the best model's newest version, "
            "if it beats the baseline, breaks no guardrail and is not worse than the champion."
        ),
    )
    def champion(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
        from tastemaker.workflows.promote import promote_best

        with told():
            opened = workspace.open()
            crowned = promote_best(opened)
        version = crowned.version
        return dg.MaterializeResult(
            metadata={
                "model": version.model if version else f"{opened.problem.baseline} (no champion yet)",
                "why": crowned.why,
                "version": version.id if version else "",
            }
            | ({} if crowned.warning is None else {"warning": crowned.warning})
        )

    return [leaderboard, champion]


def _embedded(picture: Path) -> str:
    return f"![leaderboard](data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()})"
