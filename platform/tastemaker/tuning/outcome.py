"""What a search found, and what that is worth outside of it."""

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
class Outcome:
    """What a search found, and what that is worth on the test period, which the search has not seen."""

    study: str
    model: str
    metric: str
    k: int
    seed: int
    space: Space
    trials: tuple[TrialResult, ...]
    base: TrialResult
    """The first trial: the defaults and what tastemaker.toml says."""
    best: TrialResult
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
    def trial_before(self) -> TrialResult:
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
