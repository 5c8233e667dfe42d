"""Facts of served model versions: the age of what they learned and what it costs, and worse champions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily
    from sqlalchemy import Engine

    from tastemaker.registry.deployment import Target

VERSION = ("model", "version")

DATA_END = FactFamily(
    "version_data_end_timestamp_seconds",
    "end of the data that a served version was trained on, seconds since 1970 UTC",
    VERSION,
)
STALE_AFTER = FactFamily(
    "version_stale_after_seconds",
    "age of that data at which the loss of the metric, as measured, reaches `alerts.model_stale.loss`",
    VERSION,
)
BELOW_BASELINE = FactFamily(
    "champion_below_baseline",
    "1 if the champion's recipe was significantly worse than the baseline when a run last compared them, "
    "else 0",
    VERSION,
)


def served_versions(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the end of the data of each served version, and the age at which it is stale.

    The versions are the champion of the problem in use, and those that answered logged requests lately. A
    model whose loss per week was not measured (`tastemaker learning-curve`), or does not differ from 0, has
    no age at which it is stale.
    """
    from tastemaker.registry.manifest import read_manifest

    ends: FactValues = {}
    ages: FactValues = {}
    for target in served(home):
        folder = target.folder(home.settings.artifacts)
        if not folder.exists():  # it was deleted; its requests are still in the log
            continue
        manifest = read_manifest(folder)
        labels = (target.model, target.version)
        ends[labels] = float(manifest.window.end)
        age = stale_after(home.engine, manifest.problem, target.model, home.settings.alerts.model_stale.loss)
        if age is not None:
            ages[labels] = age
    yield DATA_END.gauge(ends)
    yield STALE_AFTER.gauge(ages)


def champion_recipe(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield whether the recipe of the champion of the problem in use is worse than the baseline."""
    from tastemaker.registry.baseline_comparisons import newest_of

    target = _champion(home)
    compared = None if target is None else newest_of(home.engine, target.version)
    if target is not None and compared is not None:
        yield BELOW_BASELINE.gauge({(target.model, target.version): float(compared.is_worse)})


def served(home: FactSources) -> list[Target]:
    """Return the champion of the problem in use, and the versions that answered logged requests lately."""
    from tastemaker.registry.deployment import Target

    champion = _champion(home)
    found: dict[Target, None] = {} if champion is None else {champion: None}
    home.lake.require("answering")
    for one in home.lake.answering:
        found[Target(one.model, one.version)] = None
    return list(found)


def _champion(home: FactSources) -> Target | None:
    """Return the champion of the problem in use; None without a problem or before the first promotion."""
    from tastemaker.problem import load_problem
    from tastemaker.registry.deployment import champion_path, read_champion

    if not home.settings.problem.exists():
        return None
    problem = load_problem(home.settings.problem)
    champion = read_champion(champion_path(home.settings.artifacts, problem.name))
    return None if champion is None else champion.target


def stale_after(engine: Engine, problem: str, model: str, loss: float) -> float | None:
    """Return the age of a model's data at which its metric has lost a share, as it was measured last.

    The loss grows in proportion to the age: `loss_per_week` is the slope of a line through 0.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        model: The model's name.
        loss: The share of the metric of a model that is trained again each week.

    Returns:
        The age in seconds; None if nothing was measured, or if the loss per week may be 0.
    """
    from sqlalchemy import select

    from tastemaker.storage.tables import stalenesses

    columns = stalenesses.c
    mine = select(columns.fresh, columns.loss_per_week)
    mine = mine.where(columns.problem == problem, columns.model == model)
    with engine.connect() as connection:
        row = connection.execute(mine.order_by(columns.id.desc()).limit(1)).first()
    if row is None:
        return None
    fresh, per_week = row.fresh["value"], row.loss_per_week
    if not (per_week["low"] or 0) > 0 or not (fresh or 0) > 0:
        return None
    return float(loss * fresh / per_week["value"] * 7 * DAY_SECONDS)
