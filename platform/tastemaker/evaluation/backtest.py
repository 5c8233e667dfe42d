"""Backtests: fit one model before the cutoff, evaluate it after, and store the result."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine

from tastemaker.errors import ArtifactError
from tastemaker.evaluation import results
from tastemaker.evaluation.evaluator import Progress, UserMetrics, evaluate, metrics_by_items, user_keys
from tastemaker.evaluation.metrics import HITS
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.evaluation.stale_model import FrozenModel
from tastemaker.evaluation.version import EVALUATION_VERSION
from tastemaker.plugins import Config, Recommender
from tastemaker.plugins.code_digest import code_digest
from tastemaker.plugins.discovery import Plugin
from tastemaker.plugins.safe_calls import fit
from tastemaker.problem import ProblemSpec
from tastemaker.stats.bootstrap import Interval, intervals
from tastemaker.util.file_lock import file_lock

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.dataset.split import Split

__all__ = ["Backtest", "Backtester", "LazyFit", "Report", "identify", "measure", "run"]

Report = Callable[[str, float], None]
"""Called after each of several backtests with what was evaluated, in words, and its figure."""


@dataclass(frozen=True, eq=False)
class LazyFit:
    """Model that is fitted on a split's training window when it is first used."""

    plugin: Plugin
    config: Config
    split: Split

    @cached_property
    def model(self) -> Recommender[Any]:
        """The fitted model."""
        return self._timed[0]

    @property
    def seconds(self) -> float:
        """Seconds that the fit took."""
        return self._timed[1]

    @cached_property
    def _timed(self) -> tuple[Recommender[Any], float]:
        data, started = self.split.train.reseeded(), time.perf_counter()
        return fit(self.plugin, self.config, data), time.perf_counter() - started


def run(
    plugin: Plugin,
    config: Config | None,
    split: Split,
    problem: ProblemSpec,
    engine: Engine,
    artifacts: Path,
    *,
    progress: Progress | None = None,
    listed: bool = True,
    fitted: LazyFit | None = None,
) -> Backtest:
    """Return the backtest of a model on a split: the stored one, else run it and store it.

    The same problem, config, data, seed and code give the same id; a backtest whose id is stored is returned
    without fitting. If two processes ask for the same id, the second one waits for the first.

    Args:
        plugin: The model to fit.
        config: Its hyperparameters; None for its defaults.
        split: The training window and the test period.
        problem: The problem, which fixes the metric and the length of the lists.
        engine: The metadata database.
        artifacts: The folder for the users' metrics.
        progress: Called after each block of users.
        listed: Whether the leaderboard shows this backtest as the model's; it shows the one listed last.
        fitted: A model with this config that was fitted on an earlier split; None to fit on `split`.

    Raises:
        PluginError: The model fails, or returns a list that can't be scored.
        TastemakerError: The test period has no user to evaluate.
    """
    config = plugin.recommender.config_type() if config is None else config
    backtest_id = identify(plugin, config, split, problem, fitted.split if fitted else None)
    with file_lock(artifacts / "backtests" / ".locks" / backtest_id):
        stored = results.get(engine, backtest_id)
        if stored and _holds(artifacts, stored, split):
            if listed:
                results.mark_as_listed(engine, backtest_id)
            return stored
        fitted = fitted or LazyFit(plugin, config, split)
        backtest = _run(backtest_id, fitted, split, problem, artifacts, progress)
        results.put(engine, backtest, listed=listed)
        return backtest


@dataclass(frozen=True, eq=False)
class Backtester:
    """Backtests of one model and config on one data set."""

    plugin: Plugin
    config: Config
    dataset: Dataset
    split: Split
    """The split that the problem file defines."""
    engine: Engine
    artifacts: Path

    def run(
        self, split: Split, *, problem: ProblemSpec | None = None, fitted: LazyFit | None = None
    ) -> Backtest:
        """Return the backtest on a split; the leaderboard does not show it.

        Args:
            split: The training window and the test period.
            problem: The problem; None for the data set's.
            fitted: See `run`.
        """
        spec = self.dataset.problem if problem is None else problem
        return run(
            self.plugin, self.config, split, spec, self.engine, self.artifacts, listed=False, fitted=fitted
        )


def identify(
    plugin: Plugin, config: Config, split: Split, problem: ProblemSpec, trained_on: Split | None = None
) -> str:
    """Return a backtest's id: a hash of problem, model, config, data, seed, code and EVALUATION_VERSION.

    Slices are not part of it: stored lists are sliced again without fitting.

    Args:
        plugin: The model, whose code counts.
        config: The model's hyperparameters.
        split: The split that it is evaluated on.
        problem: The problem, without its slices.
        trained_on: The split whose training window the model was fitted on; None for `split`.
    """
    learned = split if trained_on is None else trained_on
    parts = {
        "problem": problem.model_dump(mode="json", exclude={"slices"}),
        "model": plugin.name,
        "config": config.model_dump(mode="json"),
        "data": split.data_hash,
        "times": [learned.start, learned.cut, split.cut, split.end],
        "features": split.train.features is not None,
        "rng": learned.train.rng.bit_generator.state,
        "code": code_digest(plugin.recommender),
        "evaluation": EVALUATION_VERSION,
    }
    return blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def _holds(artifacts: Path, stored: Backtest, split: Split) -> bool:
    """Return whether the stored results can be used; slices that are not the split's are replaced."""
    try:
        users = results.load_users(artifacts, stored)
    except ArtifactError:
        return False
    if users.slices_digest != split.slices_digest:
        if users.lists is None or not np.array_equal(users.user_keys, user_keys(split.user_ids)):
            return False
        by_items = metrics_by_items(users.lists, split)
        sliced = replace(
            users, user_slices=split.user_slices, by_items=by_items, slices_digest=split.slices_digest
        )
        results.save_users(artifacts / stored.users_path, sliced)
    return True


def _run(
    backtest_id: str,
    fitted: LazyFit,
    split: Split,
    problem: ProblemSpec,
    artifacts: Path,
    progress: Progress | None,
) -> Backtest:
    backtest, users = measure(backtest_id, fitted, split, problem, artifacts, progress=progress)
    results.save_users(artifacts / backtest.users_path, users)
    return backtest


def measure(
    backtest_id: str,
    fitted: LazyFit,
    split: Split,
    problem: ProblemSpec,
    scratch: Path,
    *,
    progress: Progress | None = None,
) -> tuple[Backtest, UserResults]:
    """Evaluate a model on a split's test period, without storing the result.

    Args:
        backtest_id: The id for the result.
        fitted: The model with its config, fitted on this split or on an earlier one.
        split: The split with the test period.
        problem: The problem, which fixes the length of the lists.
        scratch: An existing folder for temporary files.
        progress: Called after each block of users.

    Returns:
        The backtest, and each user's metrics.
    """
    k, learned = problem.placement.k, fitted.split
    model = fitted.model if learned is split else FrozenModel(fitted.model, learned.snapshot, split.snapshot)
    measured = evaluate(model, split, k, progress=progress)
    backtest = Backtest(
        id=backtest_id,
        problem=problem.name,
        model=fitted.plugin.name,
        config=fitted.config.model_dump(mode="json"),
        data_hash=split.data_hash,
        train_start=datetime.fromtimestamp(learned.start, UTC),
        train_end=datetime.fromtimestamp(learned.cut, UTC),
        test_end=datetime.fromtimestamp(split.end, UTC),
        metrics=summarize(measured),
        users_path=f"backtests/{backtest_id}.npz",
        users=len(measured),
        train_seconds=fitted.seconds,
        score_seconds=measured.score_seconds,
        artifact_bytes=_artifact_bytes(fitted.model, scratch),
        created_at=datetime.now(UTC),
    )
    users = UserResults(
        k,
        measured.user_keys,
        measured.values,
        split.user_slices,
        measured.by_items,
        lists=measured.lists,
        slices_digest=split.slices_digest,
    )
    return backtest, users


def summarize(measured: UserMetrics) -> dict[str, Interval]:
    """Return each metric's mean over users with its 95 % interval, by the metric's name."""
    columns = np.column_stack(list(measured.values.values()))
    of_lists = {at for at, name in enumerate(measured.values) if name not in HITS}
    return dict(zip(measured.values, intervals(columns, certain=of_lists), strict=True))


def _artifact_bytes(model: Recommender[Any], artifacts: Path) -> int:
    """Return the bytes that the saved model takes on disk."""
    with (
        results.writing(f"model {model.name}", artifacts),
        tempfile.TemporaryDirectory(dir=artifacts, prefix=".measure-") as folder,
    ):
        model.save(Path(folder))
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
