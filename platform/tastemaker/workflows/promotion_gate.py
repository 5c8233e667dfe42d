"""Promotion gate: the challenger test that a version must pass to become champion.

    better than the baseline   both paired tests are significant, corrected by Holm for all models evaluated
                               on the data, as on the leaderboard: else the best of many equal models would
                               pass by chance
    not worse than the         non-inferiority: the 95 % interval of the paired difference lies above
    champion                   −max_loss · the champion's figure

Model and config are compared, by their backtests on the same users of the same data. A newer fit of the
champion (`is_newer_fit`) is refused only if it is significantly worse than the baseline, by the same tests:
what would stay in its place is the same recipe with older data.
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
"""Default of the non-inferiority margin, as a share of the champion's figure."""
_FIT = "it is the champion's recipe with newer data, which is"


@dataclass(frozen=True)
class ChampionComparison:
    """Comparison of a version's backtest with that of the champion's model and config, on the same users."""

    model: str
    champion: str
    """The champion's model."""
    champion_id: str
    metric: str
    difference: Difference | None
    """None: the champion's config has no backtest on this data."""
    figure: float
    """The champion's figure."""
    max_loss: float
    """The margin, as a share of that figure."""

    @property
    def limit(self) -> float:
        """The limit that the interval must not reach below."""
        return -self.max_loss * abs(self.figure)

    @property
    def passed(self) -> bool:
        """Whether the version is not worse; false where an interval or a figure is not a finite number."""
        if self.difference is None or not np.isfinite([self.difference.low, self.limit]).all():
            return False
        return self.difference.low >= self.limit

    @property
    def fix(self) -> str:
        """How to get the missing backtest."""
        return (
            f"run its backtest: tastemaker models backtest {self.champion_id}; if there is newer data, "
            f"retrain, and promote the newer version: tastemaker run"
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
    """p-value of that difference, corrected for all pairs of candidates."""
    better: bool
    """Whether the version is significantly better than the baseline, after the correction."""
    worse: bool
    """Whether it is significantly worse, after the correction."""
    is_newer_fit: bool
    """Whether it differs from the champion by newer data alone."""
    models: int
    """The number of candidates on the data, for whose pairs p is corrected."""
    champion: ChampionComparison | None
    """None: there is no champion, or its model and config are the same."""

    @property
    def passes_baseline(self) -> bool:
        """Whether the comparison with the baseline passes. More is better for every primary metric."""
        return not self.worse if self.is_newer_fit else self.better

    @property
    def passed(self) -> bool:
        """Whether both comparisons pass."""
        return self.passes_baseline and (self.champion is None or self.champion.passed)

    @property
    def reasons(self) -> list[str]:
        """Both comparisons in words, failed ones first."""
        found = [(self.passes_baseline, self._baseline_text)]
        if self.champion is not None:
            found.append((self.champion.passed, self._champion_text(self.champion)))
        return [text for _, text in sorted(found, key=lambda one: one[0])]

    @property
    def _baseline_text(self) -> str:
        if self.model == self.baseline:
            return (
                f"{_FIT} the baseline" if self.is_newer_fit else "it is the baseline, so it can't be better"
            )
        if self.better:
            return f"it is better than the baseline: {self.against_baseline}"
        if self.is_newer_fit and self.worse:
            return f"{_FIT} worse than the baseline: {self.against_baseline}"
        if self.is_newer_fit:
            return f"{_FIT} not worse than the baseline: {self.against_baseline}"
        return (
            f"it is not better than the baseline: {self.against_baseline}; the whole interval must lie above "
            f"0, with p at most {ALPHA}"
        )

    def _champion_text(self, against: ChampionComparison) -> str:
        if against.difference is None:
            return str(against)
        how = "it is not worse than the champion" if against.passed else "it may be worse than the champion"
        return f"{how}: {against}"

    @property
    def against_baseline(self) -> str:
        """The figures of the comparison with the baseline, in words."""
        if self.model == self.baseline:
            return f"{self.model} is the baseline"
        figures = figures_of(self.model, self.baseline, self.metric, self.difference)
        return f"{figures}; p {self.p:.2g}, corrected for {self.models} models"

    def __str__(self) -> str:
        said = self.against_baseline
        if self.passes_baseline and not self.better:
            said = self._baseline_text
        return said if self.champion is None else f"{said}; {self.champion}"


def figures_of(model: str, other: str, metric: str, found: Difference) -> str:
    """Return a paired difference in words.

    Args:
        model: The first model.
        other: The second model, which is subtracted.
        metric: The name of the metric.
        found: The difference.
    """
    return f"{model} - {other} in {metric}: {found.difference:+.4f} ({found.between()}, {found.n:,} users)"


@dataclass(frozen=True)
class PromotionGate:
    """Gate that a version must pass to become its problem's champion."""

    registry: Registry
    max_loss: float = MAX_LOSS
    """Non-inferiority margin, as a share of the champion's figure."""
    takes_part: Callable[[str, str], bool] = lambda model, baseline: True
    """`takes_part(model, baseline)`: whether a model is a candidate besides the one that is tested."""

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
                f"there is no backtest of {lacking}, so nothing shows that it is better than {baseline}",
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
            better=bool(pairs.better[ours, theirs]),
            worse=bool(pairs.better[theirs, ours]),
            is_newer_fit=current is not None and is_newer_fit(manifest, current),
            models=int(np.count_nonzero(~others)),
            champion=_against(engine, artifacts, mine, current, metric, self.max_loss),
        )

    def promote(
        self, version_id: str, *, force_reason: str | None = None, actor: str | None = None
    ) -> Promotion:
        """Make a version its problem's champion if it passes the test or is forced.

        Args:
            version_id: The challenger.
            force_reason: Why it is promoted without the test; it is recorded, and freezes automatic
                promotion.
            actor: Who promotes it; None: that is not known.

        Returns:
            The entry of the log of promotions.

        Raises:
            RegistryError: The reason is empty; or the version does not pass the test, with the figures; or a
                backtest is missing.
            ArtifactError: A file of the version is damaged.
        """
        version = self.registry.get(version_id)
        verify_version(version.folder)
        if force_reason is not None:
            if not (reason := force_reason.strip()):
                raise RegistryError("the reason to force a promotion is empty", fix="say why in a few words")
            return self.registry.make_champion(version, reason, forced=True, actor=actor)
        found = self.require_passed(version)
        return self.registry.make_champion(version, str(found), forced=False, actor=actor)

    def require_passed(self, version: Version) -> ChallengerTest:
        """Return the test of a version that passes it.

        Raises:
            RegistryError: It does not pass, with the figures; or a backtest is missing.
            ArtifactError: As `test`.
        """
        found = self.test(version)
        if found.passed:
            return found
        evidence, fix = found.champion, force(version.id)
        if evidence is not None and evidence.difference is None and found.passes_baseline:
            fix = f"{evidence.fix}; or {fix}"
        elif found.is_newer_fit:
            fix = f"{serve_baseline(found.baseline)}; or {fix}"
        raise RegistryError(
            f"version {version.id} is not promoted:\n    " + "\n    ".join(found.reasons), fix=fix
        )


def is_newer_fit(version: Manifest, champion: Manifest) -> bool:
    """Return whether a version differs from a champion by newer data alone.

    Model, config, release and problem are the same. Of another release, nothing shows that what the champion
    was better at is still there.

    Args:
        version: What is recorded of the version that may replace the champion.
        champion: What is recorded of the champion.
    """
    made_of = ("model", "config", "distribution", "distribution_version", "problem_hash")
    is_same = all(getattr(version, name) == getattr(champion, name) for name in made_of)
    return is_same and champion.created_at < version.created_at


def force(version: str) -> str:
    """Return how to promote a version without the test."""
    return f"to promote it anyway: tastemaker models promote {version} --force REASON"


def serve_baseline(baseline: str) -> str:
    """Return how to serve the baseline where the champion's recipe is worse."""
    return (
        f"to serve {baseline}: tastemaker models promote VERSION --force REASON, with a version that "
        f"tastemaker models versions {baseline} lists"
    )


def _against(
    engine: Engine,
    artifacts: Path,
    mine: Backtest,
    current: Manifest | None,
    metric: str,
    max_loss: float,
) -> ChampionComparison | None:
    """Return the comparison with the champion; None if model and config are the same."""
    if current is None or (current.model, current.config) == (mine.model, mine.config):
        return None
    theirs = _newest(engine, mine, current.model, current.config)
    difference = None if theirs is None else results.compare(artifacts, mine, theirs, metric)
    figure = np.nan if theirs is None else theirs.metrics[metric].value
    return ChampionComparison(
        mine.model, current.model, current.version, metric, difference, figure, max_loss
    )


def _family(
    engine: Engine, artifacts: Path, mine: Backtest, rival: Backtest, metric: str
) -> list[tuple[Backtest, results.Float64]]:
    """Return the backtests of all models on the data, with these two for their models, and users' figures.

    Backtests that can't be read, or with other users, are left out.
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
    """Return the version's backtest, if it is of this model, config and problem."""
    found = None if manifest.backtest_id is None else results.get(engine, manifest.backtest_id)
    if found is None:
        return None
    recipe = (manifest.model, manifest.config, manifest.problem)
    return found if (found.model, found.config, found.problem) == recipe else None


def _newest(
    engine: Engine, mine: Backtest, model: str, config: dict[str, object] | None = None
) -> Backtest | None:
    """Return the newest backtest of a model, or of one config of it, on the same data and training window.

    Listed backtests come first: others may have another seed.
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
