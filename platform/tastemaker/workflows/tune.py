"""Search for a model's hyperparameters inside the training window, and evaluate the best outside of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tastemaker.errors import TastemakerError
from tastemaker.tuning import best_config
from tastemaker.tuning.confirm import Confirmation, confirm
from tastemaker.tuning.outcome import TuningResult
from tastemaker.tuning.search import Loop, Progress, searched
from tastemaker.tuning.study import Ended, Study, TrialResult
from tastemaker.tuning.trial import TrialBench
from tastemaker.tuning.workers import measuring
from tastemaker.workflows.workspace import Workspace

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.evaluation.results import Backtest
    from tastemaker.plugins import Config
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.plugins.search_space import Space
    from tastemaker.settings import Settings


def tune(
    workspace: Workspace,
    plugin: Plugin,
    *,
    trials: int = 30,
    jobs: int = 1,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> TuningResult:
    """Search for better hyperparameters, and write the best config if it is significantly better.

    The first trial is the model's default config with the values that tastemaker.toml sets, which are not
    searched. The search continues earlier ones. A second process that tunes the same model waits.

    Args:
        workspace: The home folder, with its data and problem; the config is written there.
        plugin: The model.
        trials: The number of trials, including those of earlier calls.
        jobs: The number of processes.
        seconds: Start no trial after this time; None for no limit.
        progress: Called after each trial.

    Returns:
        All trials, whether the best one's config was written, and its comparison with the config before.

    Raises:
        TastemakerError: There is no hyperparameter to search, or the first trial fails.
    """
    from tastemaker.evaluation.backtest import identify
    from tastemaker.evaluation.metrics import METRICS
    from tastemaker.tuning.storage import storage
    from tastemaker.util.file_lock import file_lock

    settings, problem = workspace.settings, workspace.problem
    base = workspace.config(plugin, tuned=False)
    space = searched(plugin, fixed=settings.models.get(plugin.name, {}))
    bench = TrialBench.inside(workspace.dataset(), plugin)
    name = _name(plugin, identify(plugin, base, bench.split, problem), space)
    larger = METRICS[problem.metric].larger_is_better
    with file_lock(settings.home / "tuning" / f"{name}.lock"):
        with storage(settings, workspace.engine) as kept:
            study = Study(kept, name, space, base.model_dump(), larger_is_better=larger, seed=settings.seed)
            until = None if seconds is None else time.monotonic() + seconds
            with measuring(bench, partial(_dataset, settings), jobs) as submit:
                Loop(study, base, submit, jobs, trials, until, progress).run()
            ended = study.ended()
        return _evaluated(workspace, plugin, base, space, bench, ended, name)


def _name(plugin: Plugin, recipe: str, space: Space) -> str:
    """Return the study's name, with a hash of all that the search depends on."""
    digest = blake2b(f"{recipe} {space}".encode(), digest_size=16).hexdigest()
    return f"{plugin.name}-{digest}"


def _evaluated(
    workspace: Workspace,
    plugin: Plugin,
    base: Config,
    space: Space,
    bench: TrialBench,
    ended: Ended,
    name: str,
) -> TuningResult:
    """Keep or replace the config in use, and compare both on the test period."""
    from tastemaker.evaluation import results

    settings, problem, split = workspace.settings, workspace.problem, bench.split
    trials, first, best = ended
    if first is None or best is None:
        raise TastemakerError(f"no config of {plugin.name} was measured", fix="give it more time: --for 10m")
    used = _used(workspace, plugin, base)
    candidate = base.model_validate(base.model_dump() | best.params)
    confirmation = _confirmed(workspace, bench, candidate, used, trials)
    start, cut, end = (
        datetime.fromtimestamp(timestamp, UTC) for timestamp in (split.start, split.cut, split.end)
    )
    path = best_config.path_of(settings.home, problem.name, plugin.name)
    if adopted := confirmation is not None and confirmation.better:
        study = _described(workspace, plugin, first, best, trials, name)
        window = {"trained_from": start, "trained_until": cut, "evaluated_until": end}
        best_config.write(path, best.params, study | {key: at.isoformat() for key, at in window.items()})
    before = _backtest(workspace, plugin, used, listed=not adopted)
    after = _backtest(workspace, plugin, candidate, listed=adopted)
    return TuningResult(
        study=name,
        model=plugin.name,
        metric=problem.metric,
        k=bench.k,
        seed=settings.seed,
        space=space,
        trials=tuple(trials),
        base=first,
        best=best,
        before={field: used.model_dump()[field] for field in space},
        confirmation=confirmation,
        adopted=adopted,
        path=path,
        window=(start, cut, end),
        base_backtest=before,
        backtest=after,
        difference=results.compare(settings.artifacts, after, before, problem.metric),
    )


def _used(workspace: Workspace, plugin: Plugin, base: Config) -> Config:
    """Return the config in use; a tuned config that can't be read is ignored."""
    try:
        return workspace.config(plugin)
    except TastemakerError:
        return base


def _confirmed(
    workspace: Workspace, bench: TrialBench, candidate: Config, used: Config, trials: list[TrialResult]
) -> Confirmation | None:
    if candidate == used:
        return None
    tried = {repr(sorted(one.params.items())) for one in trials if one.value is not None}
    return confirm(workspace.dataset(), bench, candidate, used, candidates=len(tried) - 1)


def _backtest(workspace: Workspace, plugin: Plugin, config: Config, *, listed: bool) -> Backtest:
    from tastemaker.evaluation import backtest

    artifacts, engine = workspace.settings.artifacts, workspace.engine
    return backtest.run(
        plugin, config, workspace.split(), workspace.problem, engine, artifacts, listed=listed
    )


def _described(
    workspace: Workspace,
    plugin: Plugin,
    first: TrialResult,
    best: TrialResult,
    trials: list[TrialResult],
    name: str,
) -> dict[str, Any]:
    """Return the origin of the config, which is stored beside it."""
    return {
        "name": name,
        "model": plugin.name,
        "problem": workspace.problem.name,
        "trial": best.number,
        "trials": len(trials),
        "seed": workspace.settings.seed,
        "metric": workspace.problem.metric,
        "value": best.value,
        "value_before": first.value,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _dataset(settings: Settings) -> Dataset:
    """Load the data set in a worker process."""
    return Workspace(settings).dataset()
