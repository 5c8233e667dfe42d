"""What a version must show to become champion: it beats the baseline, and is not worse than what is live.

    better than the baseline both paired tests, corrected by Holm for all models evaluated on the data, as on
                             the leaderboard: the best of many equal models wins by luck otherwise
    not worse than the       the 95 % interval of the paired difference lies above −max_loss · the champion's
    champion                 figure: non-inferiority, for a recipe that is alike must not be changed for one
                             that may be much worse

Recipes are compared (model, config, problem), by their backtests on the same users of the same data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, select

from tastemaker.errors import ArtifactError, RegistryError
from tastemaker.evaluation import results
from tastemaker.evaluation.leaderboard.pairwise import Pairs
from tastemaker.evaluation.promotion_candidates import are_others
from tastemaker.evaluation.results import Backtest
from tastemaker.registry import Registry, Version
from tastemaker.registry.artifact import verify_version
from tastemaker.registry.champion import Promotion
from tastemaker.registry.manifest import Manifest
from tastemaker.stats.bootstrap import Difference
from tastemaker.stats.significance import ALPHA
from tastemaker.storage.tables import backtests

MAX_LOSS = 0.01
"""Of the champion's figure: by how much a version may be worse, unless the settings say otherwise."""


@dataclass(frozen=True)
class AgainstChampion:
    """A version's backtest against that of the champion's recipe, on the same users."""

    model: str
    champion: str
    """The champion's model."""
    champion_id: str
    metric: str
    difference: Difference | None
    """None: the champion's recipe has no backtest on this data."""
    figure: float
    """The champion's."""
    max_loss: float
    """Of that figure."""

    @property
    def limit(self) -> float:
        """What the whole interval must not lie below."""
        return -self.max_loss * abs(self.figure)

    @property
    def passed(self) -> bool:
        """What is not a finite number (an interval from few users, a figure) passes nothing."""
        if self.difference is None or not np.isfinite([self.difference.low, self.limit]).all():
            return False
        return self.difference.low >= self.limit

    @property
    def fix(self) -> str:
        """What gives the evidence that is missing."""
        return (
            f"run its backtest: tastemaker models backtest {self.champion_id}; if data has come since, "
            f"train anew, and promote the newer version: tastemaker run"
        )

    def __str__(self) -> str:
        if self.difference is None:
            return (
                f"the champion {self.champion} {self.champion_id} has no backtest on the data that "
                f"{self.model} was evaluated on, so nothing shows that {self.model} is not worse"
            )
        figures = figures_of(self.model, f"{self.champion} (the champion)", self.metric, self.difference)
        return (
            f"{figures}; the interval must not reach below {self.limit:+.4f}, "
            f"{100 * self.max_loss:g} % of the champion's {self.figure:.4f}"
        )


@dataclass(frozen=True)
class ChallengerTest:
    """A version's backtest against that of the baseline, and of the champion, on the same users."""

    model: str
    baseline: str
    metric: str
    difference: Difference
    p: float
    """Of that difference, corrected for all pairs of the models evaluated on the data."""
    beats: bool
    """Beyond chance, so corrected."""
    models: int
    """So many are candidates on the data: the family that p is corrected for is theirs."""
    champion: AgainstChampion | None
    """None: there is no champion, or its recipe is the same."""

    @property
    def won(self) -> bool:
        """Nothing speaks against it. For every metric that a problem may name as primary, more is better."""
        return self.beats and (self.champion is None or self.champion.passed)

    @property
    def verdict(self) -> list[str]:
        """Both comparisons in words, what speaks against it first."""
        found = [(self.beats, self._baseline_said)]
        if self.champion is not None:
            found.append((self.champion.passed, self._champion_said(self.champion)))
        return [said for _, said in sorted(found, key=lambda one: one[0])]

    @property
    def _baseline_said(self) -> str:
        if self.beats:
            return f"it beats the baseline: {self.against_baseline}"
        return (
            f"it does not beat the baseline: {self.against_baseline}; all of it must lie above 0, "
            f"with a p of {ALPHA} at most"
        )

    def _champion_said(self, against: AgainstChampion) -> str:
        if against.difference is None:
            return str(against)
        how = "it is not worse than what is live" if against.passed else "it may be worse than what is live"
        return f"{how}: {against}"

    @property
    def against_baseline(self) -> str:
        """The figures."""
        figures = figures_of(self.model, self.baseline, self.metric, self.difference)
        return f"{figures}; p {self.p:.2g}, corrected for {self.models} models"

    def __str__(self) -> str:
        said = self.against_baseline
        return said if self.champion is None else f"{said}; {self.champion}"


def figures_of(model: str, other: str, metric: str, found: Difference) -> str:
    """A paired difference in words."""
    return f"{model} - {other} in {metric}: {found.difference:+.4f} ({found.between()}, {found.n:,} users)"


@dataclass(frozen=True)
class PromotionGate:
    """What a version must pass before it becomes its problem's champion."""

    registry: Registry
    max_loss: float = MAX_LOSS
    """Of the champion's figure: how much a version may lose."""
    takes_part: Callable[[str, str], bool] = lambda model, baseline: True
    """`takes_part(model, baseline)`: whether a model is a candidate beside the one that is tested."""

    def test(self, version: Version) -> ChallengerTest:
        """Compare a version with the baseline and with its problem's champion, by their stored backtests.

        Raises:
            RegistryError: There is no backtest of the version, or of the baseline on the same data.
            ArtifactError: A backtest's per-user figures can't be read, or are of other users.
        """
        registry, manifest = self.registry, version.manifest
        engine, artifacts, champion = registry.engine, registry.artifacts, registry.champion(version.problem)
        current = None if champion is None else champion.manifest
        baseline, metric = manifest.problem_spec["baseline"], manifest.problem_spec["metric"]
        mine = _evidence(engine, manifest)
        rival = None if mine is None else _newest(engine, mine, baseline)
        if mine is None or rival is None:
            lacking = f"version {manifest.version}" if mine is None else f"{baseline} on the same data"
            raise RegistryError(
                f"there is no backtest of {lacking}, so nothing shows that it beats {baseline}",
                fix=f"run the backtests: tastemaker run; or {force(manifest.version)}",
            )
        kept = {mine.model, rival.model}
        family = [
            one
            for one in _family(engine, artifacts, mine, rival, metric)
            if one[0].model in kept or self.takes_part(one[0].model, rival.model)
        ]
        models = [one.model for one, _ in family]
        others = are_others(models, rival.model)
        pairs = Pairs.of(np.column_stack([values for _, values in family]), metric, others=others)
        ours, theirs = ([one.id for one, _ in family].index(one.id) for one in (mine, rival))
        return ChallengerTest(
            mine.model,
            rival.model,
            metric,
            pairs.difference(ours, theirs),
            p=float(pairs.p[ours, theirs]),
            beats=bool(pairs.better[ours, theirs]),
            models=int(np.count_nonzero(~others)),
            champion=_against(engine, artifacts, mine, current, metric, self.max_loss),
        )

    def promote(self, version_id: str, *, force_reason: str | None = None) -> Promotion:
        """Make a version its problem's champion if it passes the test, or a person forces it.

        Args:
            version_id: The challenger.
            force_reason: Why it is promoted untested; it is recorded, and freezes automatic promotion.

        Raises:
            RegistryError: The reason is empty; or by how much the version fails: its recipe does not beat the
                baseline, or may be worse than the champion's; or there is no backtest that shows either.
            ArtifactError: Its files are not sound.
        """
        version = self.registry.get(version_id)
        verify_version(version.folder)
        if force_reason is not None:
            if not (reason := force_reason.strip()):
                raise RegistryError("the reason to force a promotion is empty", fix="say why in a few words")
            return self.registry.make_champion(version, reason, forced=True)
        found = self.test(version)
        if found.won:
            return self.registry.make_champion(version, str(found), forced=False)
        evidence = found.champion
        missing = evidence is not None and evidence.difference is None and found.beats
        raise RegistryError(
            f"version {version.id} is not promoted:\n    " + "\n    ".join(found.verdict),
            fix=f"{evidence.fix}; or {force(version.id)}" if evidence and missing else force(version.id),
        )


def force(version: str) -> str:
    """What a person may do all the same."""
    return f"to promote it all the same: tastemaker models promote {version} --force REASON"


def _against(
    engine: Engine,
    artifacts: Path,
    mine: Backtest,
    current: Manifest | None,
    metric: str,
    max_loss: float,
) -> AgainstChampion | None:
    """Nothing where the recipe is the same: another fit of it is no other recipe."""
    if current is None or (current.model, current.config) == (mine.model, mine.config):
        return None
    theirs = _newest(engine, mine, current.model, current.config)
    difference = None if theirs is None else results.compare(artifacts, mine, theirs, metric)
    figure = np.nan if theirs is None else theirs.metrics[metric].value
    return AgainstChampion(mine.model, current.model, current.version, metric, difference, figure, max_loss)


def _family(
    engine: Engine, artifacts: Path, mine: Backtest, rival: Backtest, metric: str
) -> list[tuple[Backtest, results.Float64]]:
    """Backtests with each user's figure: of every model on the data, with these two for their models.

    Those that can't be read, or evaluated other users, are left out.
    """
    by_model = {one.model: one for one in results.listed(engine, mine.problem, mine.data_hash)}
    by_model |= {rival.model: rival, mine.model: mine}
    chosen = {one.id: one for one in (*by_model.values(), rival)}
    keys = results.load_users(artifacts, mine).user_keys
    found = []
    for one in chosen.values():
        try:
            users = results.load_users(artifacts, one)
        except ArtifactError:
            if one in (mine, rival):
                raise
            continue
        if np.array_equal(users.user_keys, keys):
            found.append((one, users.values[metric]))
        elif one is rival:
            raise ArtifactError(
                f"{mine.model} and {rival.model} were evaluated on different users",
                fix="evaluate both on the same split: tastemaker run",
            )
    return found


def _evidence(engine: Engine, manifest: Manifest) -> Backtest | None:
    """The version's backtest, if it is of this model, config and problem."""
    found = None if manifest.backtest_id is None else results.get(engine, manifest.backtest_id)
    if found is None:
        return None
    recipe = (manifest.model, manifest.config, manifest.problem)
    return found if (found.model, found.config, found.problem) == recipe else None


def _newest(
    engine: Engine, mine: Backtest, model: str, config: dict[str, object] | None = None
) -> Backtest | None:
    """The newest backtest of a model, or of one config of it, on the same data and training window.

    Those that were asked for as the model's own figure come first: others may be of another seed.
    """
    query = (
        select(backtests.c.id)
        .where(
            backtests.c.problem == mine.problem,
            backtests.c.model == model,
            backtests.c.data_hash == mine.data_hash,
            backtests.c.train_end == mine.train_end,
        )
        .order_by(backtests.c.listed_at.is_(None), backtests.c.created_at.desc(), backtests.c.id)
    )
    with engine.connect() as connection:
        ids = list(connection.execute(query).scalars())
    found = (results.get(engine, each) for each in ids)
    return next((one for one in found if one and (config is None or one.config == config)), None)
