"""Result of a search, with the comparison of both configs on the test period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.tuning.confirm import Confirmation
from tastemaker.tuning.study import Params, TrialResult

if TYPE_CHECKING:
    from tastemaker.evaluation.results import Backtest
    from tastemaker.plugins.search_space import Space
    from tastemaker.stats.bootstrap import Difference


@dataclass(frozen=True)
class TuningResult:
    """Result of a search, with the comparison of both configs on the test period, which it has not seen."""

    study: str
    model: str
    metric: str
    k: int
    seed: int
    space: Space
    trials: tuple[TrialResult, ...]
    base: TrialResult
    """The first trial: the defaults with the values of tastemaker.toml."""
    best: TrialResult
    before: Params
    """The searched hyperparameters as training used them so far: the first trial's, or those that an earlier
    search found."""
    confirmation: Confirmation | None
    """The comparison of the best trial with them; None where they are equal."""
    adopted: bool
    """Whether later trainings use the best trial's: it is significantly better."""
    path: Path
    """The file that training reads."""
    window: tuple[datetime, datetime, datetime]
    """The window of the trials: the start of training, the cutoff and the end."""
    base_backtest: Backtest
    """The backtest of the config before."""
    backtest: Backtest
    """The backtest of the best trial's config."""
    difference: Difference
    """The best trial's config minus the one before, per user of the test period."""

    @property
    def trial_before(self) -> TrialResult:
        """The trial with the hyperparameters used so far; the first one where no trial has them."""
        ended = (one for one in self.trials if one.value is not None)
        return next((one for one in ended if one.params == self.before), self.base)

    @property
    def config(self) -> Params:
        """The searched hyperparameters as later trainings use them."""
        return self.best.params if self.adopted else self.before

    @property
    def why(self) -> str:
        """Which config is used and why, in words."""
        found = self.confirmation
        if found is None:
            return "no trial was better than the config in use, which is kept"
        where = (
            "on the days before the search's, which chose no trial"
            if found.fresh
            else f"on the search's own users, corrected for {found.comparisons} configs: the history is too "
            "short for separate days"
        )
        figures = (
            f"{found.difference.difference:+.4f} in {self.metric} ({found.difference.between()}, "
            f"{found.difference.n:,} users, p {found.p:.2g}) {where}"
        )
        if self.adopted:
            return f"the config that was found is adopted: {figures}"
        return f"the config in use is kept: the config that was found is not significantly better: {figures}"
