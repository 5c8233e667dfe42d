"""Fit one model before the cut and judge it after: measured, stored, and never done twice."""

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
    """A model that is fitted on a split's training window when it is first asked for."""

    plugin: Plugin
    config: Config
    split: Split

    @cached_property
    def model(self) -> Recommender[Any]:
        """The fitted model."""
        return self._timed[0]

    @property
    def seconds(self) -> float:
        """How long the fit took."""
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
    """The backtest of a model with a config (None: its defaults) on a split; stored, unless it already is.

    The same problem, config, data, seed and code give the same id, and an id that is stored is returned
    without fitting. A second process that asks for the same id meanwhile waits for the first. The leaderboard
    shows the model's backtest that was `listed` last. `fitted` is a model of that config that learned from an
    earlier split and has not been trained since.
    """
    config = plugin.recommender.config_type() if config is None else config
    backtest_id = identify(plugin, config, split, problem, fitted.split if fitted else None)
    with file_lock(artifacts / "backtests" / ".locks" / backtest_id):
        stored = results.get(engine, backtest_id)
        if stored and _holds(artifacts, stored, split):
            if listed:
                results.list_again(engine, backtest_id)
            return stored
        fitted = fitted or LazyFit(plugin, config, split)
        backtest = _run(backtest_id, fitted, split, problem, artifacts, progress)
        results.put(engine, backtest, listed=listed)
        return backtest


@dataclass(frozen=True, eq=False)
class Backtester:
    """One model and config, and what its backtests need: the data, and where they are stored."""

    plugin: Plugin
    config: Config
    dataset: Dataset
    split: Split
    """The data set's own, as the problem says."""
    engine: Engine
    artifacts: Path

    def run(
        self, split: Split, *, problem: ProblemSpec | None = None, fitted: LazyFit | None = None
    ) -> Backtest:
        """Return the backtest on a split, run unless it is stored; the leaderboard does not show it.

        `problem`: another one than the data set's. `fitted`: see `run`.
        """
        spec = self.dataset.problem if problem is None else problem
        return run(
            self.plugin, self.config, split, spec, self.engine, self.artifacts, listed=False, fitted=fitted
        )


def identify(
    plugin: Plugin, config: Config, split: Split, problem: ProblemSpec, trained_on: Split | None = None
) -> str:
    """Hash all that a backtest's figures depend on: problem, model, config, data, seed and code.

    Slices do not count: stored lists are sliced anew, without fitting. `trained_on` is the split whose
    training window the model learned from, if it is not this one's.
    """
    learned = split if trained_on is None else trained_on
    parts = {
        "problem": problem.model_dump(mode="json", exclude={"slices"}),
        "model": plugin.name,
        "config": config.model_dump(mode="json"),
        "data": split.data_hash,
        "moments": [learned.start, learned.cut, split.cut, split.end],
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
    """Judge a model by a split's test period; nothing is stored, `scratch` is an existing folder."""
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
    """Metric -> its mean over users with a 95 % interval."""
    columns = np.column_stack(list(measured.values.values()))
    of_lists = {at for at, name in enumerate(measured.values) if name not in HITS}
    return dict(zip(measured.values, intervals(columns, certain=of_lists), strict=True))


def _artifact_bytes(model: Recommender[Any], artifacts: Path) -> int:
    """What the model takes on disk."""
    with (
        results.writing(f"model {model.name}", artifacts),
        tempfile.TemporaryDirectory(dir=artifacts, prefix=".measure-") as folder,
    ):
        model.save(Path(folder))
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
