"""Search loop: ask for a config, measure it inside the training window, and record the figure."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tastemaker.errors import PluginError, TastemakerError, in_words
from tastemaker.tuning.study import Study, TrialResult
from tastemaker.tuning.trial import MachineError, Measured
from tastemaker.tuning.workers import Submit

if TYPE_CHECKING:
    from optuna.trial import Trial

    from tastemaker.plugins import Config
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.plugins.search_space import Space

Progress = Callable[[TrialResult, TrialResult | None, int], None]
"""Called with a trial that has ended, the best so far, and how many have ended."""


def searched(plugin: Plugin, fixed: dict[str, Any]) -> Space:
    """Return a model's search space without the hyperparameters that tastemaker.toml sets.

    Args:
        plugin: The model, whose config class has the search space.
        fixed: The hyperparameters that tastemaker.toml sets.

    Raises:
        PluginError: The search space is wrong.
        TastemakerError: There is nothing to search.
    """
    from tastemaker.plugins.search_space import find_mistakes, search_space

    config_type = plugin.recommender.config_type
    whole = search_space(config_type)
    wrong = find_mistakes(config_type)
    if wrong:
        raise PluginError(
            f"the search space of {plugin.name} is wrong: {'; '.join(wrong)}",
            fix=f"correct {config_type.__name__}: tastemaker models check {plugin.name}",
        )
    space = {name: mark for name, mark in whole.items() if name not in fixed}
    if not space:
        why = "tastemaker.toml sets all of its search space" if whole else "its search space is empty"
        raise TastemakerError(
            f"model {plugin.name} has no hyperparameter to search: {why}",
            fix=f"remove some from [models.{plugin.name}] in tastemaker.toml"
            if whole
            else f"annotate some in {config_type.__name__}: Annotated[int, Search(low, high)]",
        )
    return space


@dataclass
class Loop:
    """Search loop that measures `jobs` configs at a time."""

    study: Study
    start: Config
    submit: Submit
    jobs: int
    trials: int
    until: float | None
    progress: Progress | None

    def run(self) -> None:
        """Run trials until their number or the time is reached."""
        running: dict[Future[Measured], Trial] = {}
        while True:
            while len(running) < self.jobs and self._wanted(len(running)):
                trial = self.study.ask()
                known = self.study.known(trial.params)
                if known is None:
                    self._begin(trial, running)
                elif known.value is None:
                    self._fail(trial, known.error or "", fails_again=True)
                else:
                    self._record(trial, Measured(known.value, 0.0))  # the same fit gives the same figure
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                self._take(running.pop(future), future)

    def _begin(self, trial: Trial, running: dict[Future[Measured], Trial]) -> None:
        """Submit a trial; values that the config refuses together, such as low > high, are a failed trial."""
        try:
            config = self.start.model_validate(self.start.model_dump() | trial.params)
        except ValidationError as error:
            self._fail(trial, in_words(error), fails_again=True)
        else:
            running[self.submit(config)] = trial

    def _wanted(self, running: int) -> bool:
        """Return whether another trial begins; the config in use always has one, also after it was lost."""
        if not running and not self.study.has_base:
            return True
        late = self.until is not None and time.monotonic() >= self.until
        return len(self.study.tried()) + running < self.trials and not late

    def _take(self, trial: Trial, future: Future[Measured]) -> None:
        try:
            self._record(trial, future.result())
        except TastemakerError as error:
            if self.study.is_base(trial.params):
                raise
            self._fail(trial, str(error), fails_again=not isinstance(error, MachineError))

    def _fail(self, trial: Trial, error: str, *, fails_again: bool) -> None:
        self.study.fail(trial, error, fails_again=fails_again)
        self._report(trial.number)

    def _record(self, trial: Trial, measured: Measured) -> None:
        self.study.record(trial, *measured)
        self._report(trial.number)

    def _report(self, number: int) -> None:
        if self.progress:
            ended = self.study.tried()
            self.progress(next(one for one in ended if one.number == number), self.study.best, len(ended))
