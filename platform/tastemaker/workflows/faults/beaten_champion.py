"""A backtest in which the champion's recipe is worse than the baseline, within a block.

The backtest of a simulation that was killed is removed by the next one with this fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from sqlalchemy import delete

from tastemaker.errors import TastemakerError
from tastemaker.evaluation import results
from tastemaker.settings import Settings
from tastemaker.storage.tables import backtests, baseline_comparisons
from tastemaker.workflows.promote import compare_with_baseline
from tastemaker.workflows.workspace import Workspace

BACKTEST: Final = "simulated"
"""Id of the backtest, which no hash is."""


@contextmanager
def beaten(settings: Settings) -> Iterator[None]:
    """Have the champion's recipe find nothing in a backtest that is compared with the baseline, for a block.

    Args:
        settings: Of the home folder.

    Raises:
        TastemakerError: There is no champion, or it can't be compared with the baseline.
    """
    workspace = Workspace(settings)
    try:
        _remove(workspace)
        _compare(workspace)
        yield
    finally:
        _remove(workspace)
        workspace.engine.dispose()


def _compare(workspace: Workspace) -> None:
    """Store the backtest, and the comparison in which it is the newest of the champion's model."""
    problem = workspace.problem
    champion, board = workspace.registry.champion(problem.name), workspace.leaderboard()
    own = next((row.backtest for row in board.rows if champion and row.model == champion.model), None)
    if champion is None or own is None:
        raise TastemakerError(
            f"there is no champion of {problem.name} with a backtest", fix="train one: tastemaker run"
        )
    users = results.load_users(workspace.settings.artifacts, own)
    values = users.values | {board.metric: np.zeros_like(users.values[board.metric])}
    stored = replace(own, id=BACKTEST, users_path=f"backtests/{BACKTEST}.npz", created_at=datetime.now(UTC))
    results.save_users(workspace.settings.artifacts / stored.users_path, replace(users, values=values))
    results.put(workspace.engine, stored)
    if compare_with_baseline(workspace, workspace.leaderboard(), champion) is None:
        raise TastemakerError(
            f"the champion {champion.model} {champion.id} can't be compared with {problem.baseline}",
            fix="promote a version of another model whose backtest is on the leaderboard",
        )


def _remove(workspace: Workspace) -> None:
    """Remove the backtest and its comparisons: the ones before them are the newest again."""
    with workspace.engine.begin() as connection:
        connection.execute(delete(baseline_comparisons).where(baseline_comparisons.c.backtest_id == BACKTEST))
        connection.execute(delete(backtests).where(backtests.c.id == BACKTEST))
    (workspace.settings.artifacts / "backtests" / f"{BACKTEST}.npz").unlink(missing_ok=True)
