"""Make the report on the recommendation quality of the champion's model from its stored backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.evaluation import results
from tastemaker.evaluation.ranking_report import RankingReport, ranking_report

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


def champions_ranking_report(opened: Workspace) -> tuple[Version, RankingReport] | str:
    """Report on the newest version of the champion's model, which was evaluated on the present data.

    The champion itself may be older: then its lists are of users and days of an earlier test period.

    Args:
        opened: The home folder, whose champion and data count.

    Returns:
        The version and its report; or why there is none, in words.

    Raises:
        TastemakerError: Evidently's figures differ from ours.
    """
    champion = opened.registry.champion(opened.problem.name)
    if champion is None:
        return "there is no champion yet"
    version = opened.registry.newest(champion.model, problem=opened.problem.name)
    backtest = None if version.backtest_id is None else results.get(opened.engine, version.backtest_id)
    split = opened.split()
    if backtest is None or backtest.data_hash != split.data_hash:
        return f"{version.model} {version.id} was not evaluated on the present data: train it again"
    users = results.load_users(opened.settings.artifacts, backtest)
    return version, ranking_report(version, backtest, users, split, opened.engine, opened.settings.reports)
