"""Search for a model's hyperparameters inside the training window, and judge what was found outside of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.tuning import best_config
from tastemaker.tuning.confirm import Confirmation, confirm
from tastemaker.tuning.study import Ended, Params, Study, Tried
from tastemaker.tuning.trial import Bench, Measured
from tastemaker.tuning.workers import Submit, measuring

if TYPE_CHECKING:
    from optuna.trial import Trial

    from tastemaker.evaluation.results import Backtest
    from tastemaker.plugins import Config
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.plugins.search_space import Space
    from tastemaker.stats.bootstrap import Difference
    from tastemaker.workflows.workspace import Workspace

Progress = Callable[[Tried, Tried | None, int], None]
"""Called with a trial that has ended, the best so far, and how many have ended."""


@dataclass(frozen=True)
class Outcome:
    """What a search found, and what that is worth on the test period, which the search has not seen."""

    study: str
    model: str
    metric: str
    k: int
    seed: int
    space: Space
    trials: tuple[Tried, ...]
    base: Tried
    """The first trial: the defaults and what tastemaker.toml says."""
    best: Tried
    before: Params
    """The hyperparameters that were searched, as training used them until now: the first trial's, or what an
    earlier search found."""
    confirmation: Confirmation | None
    """The best trial against them; None where it is them."""
    adopted: bool
    """Whether training uses the best trial's from now on: it is better beyond chance."""
    path: Path
    """The file that training reads."""
    window: tuple[datetime, datetime, datetime]
    """Of the trials: training's start, the cut and the end."""
    base_backtest: Backtest
    """Of the config before."""
    backtest: Backtest
    """Of the best trial's."""
    difference: Difference
    """What the best trial's config has more than the one before, per user of the test period."""

    @property
    def trial_before(self) -> Tried:
        """The trial with the hyperparameters used until now; the first one where no trial has them."""
        ended = (one for one in self.trials if one.value is not None)
        return next((one for one in ended if one.params == self.before), self.base)

    @property
    def config(self) -> Params:
        """The hyperparameters that were searched, as training uses them from now on."""
        return self.best.params if self.adopted else self.before

    @property
    def why(self) -> str:
        """Which config is kept and why, in words."""
        found = self.confirmation
        if found is None:
            return "no trial was better than the config as it was, which is kept"
        where = (
            "on the days before the search's, by which no trial was chosen"
            if found.fresh
            else f"on the search's own users, corrected for {found.comparisons} configs: the history is too "
            "short for days of their own"
        )
        figures = (
            f"{found.difference.difference:+.4f} in {self.metric} ({found.difference.between()}, "
            f"{found.difference.n:,} users, p {found.p:.2g}) {where}"
        )
        if self.adopted:
            return f"the config that was found is adopted: {figures}"
        return f"the config before is kept, for what was found is not better beyond chance: {figures}"


def tune(
    workspace: Workspace,
    plugin: Plugin,
    *,
    trials: int = 30,
    jobs: int = 1,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Go on until `trials` have ended in all, or until `seconds` are over; write the best config if it is
    better than the one in use beyond chance.

    The first trial is the model's config as it is: the defaults and what tastemaker.toml says, which is not
    searched. A second process that tunes the same model waits for the first. Raises TastemakerError if there
    is nothing to search, or the first trial fails.
    """
    from tastemaker.evaluation.backtest import identify
    from tastemaker.evaluation.metrics import METRICS
    from tastemaker.tuning.storage import storage
    from tastemaker.util.file_lock import locked

    settings, problem = workspace.settings, workspace.problem
    base = workspace.config(plugin, tuned=False)
    space = searched(plugin, fixed=settings.models.get(plugin.name, {}))
    bench = Bench.inside(workspace.dataset(), plugin)
    name = _name(plugin, identify(plugin, base, bench.split, problem), space)
    larger = METRICS[problem.metric].larger_is_better
    with locked(settings.home / "tuning" / f"{name}.lock"):
        with storage(settings, workspace.engine) as kept:
            study = Study(kept, name, space, base.model_dump(), larger_is_better=larger, seed=settings.seed)
            until = None if seconds is None else time.monotonic() + seconds
            with measuring(bench, settings, jobs) as submit:
                _Loop(study, base, submit, jobs, trials, until, progress).run()
            ended = study.ended()
        return _judged(workspace, plugin, base, space, bench, ended, name)


def _name(plugin: Plugin, recipe: str, space: Space) -> str:
    """All that a search depends on."""
    digest = blake2b(f"{recipe} {space}".encode(), digest_size=16).hexdigest()
    return f"{plugin.name}-{digest}"


def searched(plugin: Plugin, fixed: dict[str, Any]) -> Space:
    """The search space without what a person fixed. Raises TastemakerError if it is empty or wrong."""
    from tastemaker.plugins.search_space import mistakes, search_space

    config_type = plugin.recommender.config_type
    whole = search_space(config_type)
    wrong = mistakes(config_type)
    if wrong:
        raise PluginError(
            f"the search space of {plugin.name} is wrong: {'; '.join(wrong)}",
            fix=f"mend {config_type.__name__}: tastemaker models check {plugin.name}",
        )
    space = {name: mark for name, mark in whole.items() if name not in fixed}
    if not space:
        why = "tastemaker.toml fixes all that is" if whole else "none is"
        raise TastemakerError(
            f"model {plugin.name} has no hyperparameter to search: {why} marked as worth it",
            fix=f"remove some from [models.{plugin.name}] in tastemaker.toml"
            if whole
            else f"mark them in {config_type.__name__}: Annotated[int, Search(low, high)]",
        )
    return space


@dataclass
class _Loop:
    """Ask, measure, tell; `jobs` at a time."""

    study: Study
    start: Config
    submit: Submit
    jobs: int
    trials: int
    until: float | None
    progress: Progress | None

    def run(self) -> None:
        running: dict[Future[Measured], Trial] = {}
        while True:
            while len(running) < self.jobs and self._wanted(len(running)):
                trial = self.study.ask()
                known = self.study.known(trial.params)
                if known is not None and known.value is not None:
                    self._tell(trial, Measured(known.value, 0.0))  # the same fit gives the same figure
                else:
                    config = self.start.model_validate(self.start.model_dump() | trial.params)
                    running[self.submit(config)] = trial
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                self._take(running.pop(future), future)

    def _wanted(self, running: int) -> bool:
        ended = len(self.study.tried())
        late = self.until is not None and time.monotonic() >= self.until and ended + running > 0
        return ended + running < self.trials and not late

    def _take(self, trial: Trial, future: Future[Measured]) -> None:
        try:
            self._tell(trial, future.result())
        except TastemakerError as error:
            if self.study.is_base(trial.params):
                raise
            self.study.fail(trial, str(error))
            self._report(trial.number)

    def _tell(self, trial: Trial, measured: Measured) -> None:
        self.study.tell(trial, *measured)
        self._report(trial.number)

    def _report(self, number: int) -> None:
        if self.progress:
            ended = self.study.tried()
            self.progress(next(one for one in ended if one.number == number), self.study.best, len(ended))


def _judged(
    workspace: Workspace, plugin: Plugin, base: Config, space: Space, bench: Bench, ended: Ended, name: str
) -> Outcome:
    """Keep or replace the config in use, and hold both against each other on the test period."""
    from tastemaker.evaluation import results

    settings, problem, split = workspace.settings, workspace.problem, bench.split
    trials, first, best = ended
    if first is None or best is None:
        raise TastemakerError(f"no config of {plugin.name} was measured", fix="give it more time: --for 10m")
    used = _used(workspace, plugin, base)
    candidate = base.model_validate(base.model_dump() | best.params)
    confirmation = _confirmed(workspace, bench, candidate, used, trials)
    start, cut, end = (datetime.fromtimestamp(moment, UTC) for moment in (split.start, split.cut, split.end))
    path = best_config.path_of(settings.home, problem.name, plugin.name)
    if adopted := confirmation is not None and confirmation.better:
        study = _described(workspace, plugin, first, best, trials, name)
        window = {"trained_from": start, "trained_until": cut, "judged_until": end}
        best_config.write(path, best.params, study | {key: at.isoformat() for key, at in window.items()})
    before = _backtest(workspace, plugin, used, listed=not adopted)
    after = _backtest(workspace, plugin, candidate, listed=adopted)
    return Outcome(
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
    """The config in use. A tuned one that can't be read is replaced as if it were not there."""
    try:
        return workspace.config(plugin)
    except TastemakerError:
        return base


def _confirmed(
    workspace: Workspace, bench: Bench, candidate: Config, used: Config, trials: list[Tried]
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
    workspace: Workspace, plugin: Plugin, first: Tried, best: Tried, trials: list[Tried], name: str
) -> dict[str, Any]:
    """Where the config comes from."""
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
