"""Trials: fit a model with a config, and evaluate it inside the training window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.dataset.split import test_start
from tastemaker.errors import PluginError, SourceError, TastemakerError

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.dataset.split import Split
    from tastemaker.plugins import Config
    from tastemaker.plugins.discovery import Plugin


Float64 = NDArray[np.float64]

OF_THE_MACHINE = (MemoryError, OSError, ImportError, BrokenExecutor)
"""Errors after which the same config may succeed: memory, disk, a missing library, a killed process."""


class MachineError(PluginError):
    """Error: the model failed for what its machine lacked, so that its config is not known to fail."""


class Measured(NamedTuple):
    """Measurement of one config."""

    value: float
    """The problem's metric, the mean over the evaluated users."""
    seconds: float


@dataclass(frozen=True, eq=False)
class TrialBench:
    """Split of the training window on which one model's configs are tried, without the test period."""

    plugin: Plugin
    split: Split
    metric: str
    k: int

    @classmethod
    def inside(cls, dataset: Dataset, plugin: Plugin) -> TrialBench:
        """Split the training window again: configs are evaluated on its last split.test_days.

        Args:
            dataset: The data set with its test period, which is left out.
            plugin: The model whose configs are tried.

        Returns:
            The bench, whose users are those of the last days before the test period.

        Raises:
            TastemakerError: The training window is too short.
        """
        try:
            split = dataset.before(test_start(dataset)).split()
        except SourceError as error:
            raise TastemakerError(
                f"the training window can't be split again to search in it: {error.problem}", fix=error.fix
            ) from error
        return cls(plugin, split, dataset.problem.metric, dataset.problem.placement.k)

    def measure(self, config: Config) -> Measured:
        """Measure one config.

        Raises PluginError if the model fails, or its figure is not a number; MachineError if that need not be
        the config's fault.
        """
        started = time.perf_counter()
        try:
            value = float(np.mean(self.users(config)))
        except PluginError as error:
            if any(isinstance(one, OF_THE_MACHINE) for one in _causes(error)):
                raise MachineError(error.problem, fix=error.fix) from error
            raise
        return Measured(value, time.perf_counter() - started)

    def users(self, config: Config) -> Float64:
        """Return float64[n], each user's figure with one config. Raises PluginError as `measure`."""
        from tastemaker.evaluation.evaluator import evaluate
        from tastemaker.plugins.safe_calls import fit

        model = fit(self.plugin, config, self.split.train.reseeded())
        users = evaluate(model, self.split, self.k, metrics=(self.metric,)).values[self.metric]
        value = float(np.mean(users))
        if not np.isfinite(value):
            raise PluginError(f"{self.metric} of model {self.plugin.name} is {value}")
        return users


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that led to an error, the last one first."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
