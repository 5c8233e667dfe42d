"""Persistent study of a search: the next config to try, and the results of the earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastemaker.plugins.search_space import Choice, Space

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

Params = dict[str, Any]
_FAILS_AGAIN = "fails_again"
"""Attribute of a failed trial: whether the same config fails again."""


class TrialResult(NamedTuple):
    """Result of a trial."""

    number: int
    params: Params
    value: float | None
    """None: the model failed."""
    seconds: float
    error: str | None

    @property
    def figure(self) -> float:
        """The value; NaN where the model failed."""
        return np.nan if self.value is None else self.value


class Ended(NamedTuple):
    """Results of a search when its storage is closed."""

    trials: list[TrialResult]
    base: TrialResult | None
    """The trial of the config in use before the search."""
    best: TrialResult | None


class Study:
    """Optuna study of one model on one data set, with one seed, used by one process at a time.

    The sampler is seeded by the trial's place, so that a search which was killed and continued tries the same
    configs as one that was not.

    Args:
        storage: From `tuning.storage.storage`; it has to stay open.
        name: The study's name. A stored study of this name is continued.
        space: Hyperparameter -> the values that are searched.
        base: The config in use, which is tried first; only values of searched hyperparameters matter.
        larger_is_better: Whether the metric is.
        seed: Of the sampler.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: Space,
        base: Params,
        *,
        larger_is_better: bool,
        seed: int,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study: optuna.Study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if larger_is_better else "minimize",
            load_if_exists=True,
        )
        self._distributions = {field: _distribution(mark, base[field]) for field, mark in space.items()}
        self._base = {field: base[field] for field in space}
        self._sign = 1.0 if larger_is_better else -1.0
        self._seed = seed
        self._recover()

    def ask(self) -> Trial:
        """Return the next trial. The first one is the config in use."""
        from optuna.samplers import TPESampler

        place = len(self.tried()) + len(self._running())
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        self._study.sampler = TPESampler(seed=seed, multivariate=False)
        return self._study.ask(self._distributions)

    def record(self, trial: Trial, value: float, seconds: float) -> None:
        """Store a trial's figure and its seconds, durably.

        Args:
            trial: The trial that was measured.
            value: Its figure in the problem's metric.
            seconds: How long it took.
        """
        trial.set_user_attr("seconds", seconds)
        self._study.tell(trial, value)

    def fail(self, trial: Trial, error: str, *, fails_again: bool) -> None:
        """Store that the model failed with a config, durably; the trial counts as one that was tried.

        Args:
            trial: The trial, from `ask`.
            error: Why, in words.
            fails_again: Whether the same config is known to fail again; False for what its machine lacked.
        """
        from optuna.trial import TrialState

        trial.set_user_attr("error", error)
        trial.set_user_attr(_FAILS_AGAIN, fails_again)
        self._study.tell(trial, state=TrialState.FAIL)

    def known(self, params: Params) -> TrialResult | None:
        """Return the result that the same config has whenever it is tried; None if that is not known.

        The model of a known result may have failed: its value is None, then, and it has an error.
        """
        for trial in self._study.get_trials(deepcopy=False):
            found = _tried(trial) if trial.params == params else None
            if found is not None and (found.value is not None or trial.user_attrs.get(_FAILS_AGAIN, False)):
                return found
        return None

    def tried(self) -> list[TrialResult]:
        """Return all trials that have ended, in order, without those that were lost with their process."""
        trials = (_tried(trial) for trial in self._study.get_trials(deepcopy=False))
        return [trial for trial in trials if trial is not None]

    def ended(self) -> Ended:
        """Return all results, for use after the storage is closed."""
        return Ended(self.tried(), self.known(self._base), self.best)

    @property
    def has_base(self) -> bool:
        """Whether the config in use was measured; until then a trial of it runs or waits."""
        return self.known(self._base) is not None

    def is_base(self, params: Params) -> bool:
        """Return whether a config is the one in use."""
        return params == self._base

    @property
    def best(self) -> TrialResult | None:
        """The trial with the best figure; the first of equal ones."""
        ended = [one for one in self.tried() if one.value is not None]
        return max(ended, key=lambda one: self._sign * one.figure, default=None)

    def _running(self) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _recover(self) -> None:
        """Enqueue the first trial, and those that were running when the last process died."""
        from optuna.trial import TrialState

        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(self._base)
        for lost in self._running():
            self._study.enqueue_trial(lost.params)
            self._study.tell(lost.number, state=TrialState.FAIL)


def _distribution(mark: Any, default: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(mark, Choice):
        return CategoricalDistribution(mark.values)
    if isinstance(default, int):
        return IntDistribution(int(mark.low), int(mark.high), log=mark.log)
    return FloatDistribution(mark.low, mark.high, log=mark.log)


def _tried(trial: FrozenTrial) -> TrialResult | None:
    error = trial.user_attrs.get("error")
    if not trial.state.is_finished() or (trial.value is None and error is None):
        return None
    return TrialResult(trial.number, trial.params, trial.value, trial.user_attrs.get("seconds", 0.0), error)
