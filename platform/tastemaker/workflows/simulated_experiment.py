"""A designed experiment, run many times where its truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.effect_rows import treatments_of
from tastemaker.experiments.analysis.logged_pool import LoggedPool
from tastemaker.experiments.analysis.planner import replayed_units
from tastemaker.experiments.analysis.simulated_runs import (
    SimulatedRun,
    SimulatedRuns,
    UnitPool,
    require_simulated_kind,
    right_verdict,
    simulate_runs,
    true_effects,
)
from tastemaker.experiments.lifecycle.services import versions_of
from tastemaker.experiments.unit_metrics import find_all
from tastemaker.features.recomputed import recompute
from tastemaker.registry.artifact import load_version
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.simulator.traffic.simulation import shop_of
from tastemaker.workflows.simulated_shop_pool import ShopPool

if TYPE_CHECKING:
    from tastemaker.experiments.design import Design
    from tastemaker.plugins.arrays import Float32
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


def simulate_experiment(
    workspace: Workspace,
    design: Design,
    *,
    runs: int,
    effect: float | None = None,
    seed: int = 0,
    on_run: Callable[[SimulatedRun], None] = lambda run: None,
) -> SimulatedRuns:
    """Run a design many times and count how often it decides right.

    Args:
        workspace: The home. Without `effect`, its source is the simulated shop.
        design: The design, of kind ab or aa.
        runs: How many times.
        effect: Relative effect of every treatment on the users of the log; None: the variants' versions
            answer the users of the simulated shop, whose reactions are known.
        seed: Of all runs.
        on_run: Called after each run.

    Returns:
        The true effects, the verdict that they demand, and the runs in their order.

    Raises:
        TastemakerError: The kind can't be simulated, the log or the source has no users for it, a variant has
            no version, or the primary metric can't be computed.
    """
    require_simulated_kind(design)
    # The primary metric alone decides, and no other one is read from the log.
    design = msgspec.structs.replace(design, secondary=(), guardrails=(), slices=())
    metrics = find_all((design.primary,), workspace.problem)
    metric = metrics[design.primary]
    if effect is None:
        pool: UnitPool = _of_shop(workspace, design, seed)
        truth, errors = true_effects(design, metric, pool, seed=seed)
    else:
        truth = dict.fromkeys(treatments_of(design), effect)
        errors = dict.fromkeys(truth, 0.0)
        effects = [truth.get(name, 0.0) for name in design.variants]
        units = replayed_units(workspace.lake, workspace.problem, design)
        pool = LoggedPool(units, metric, effects)
    found = simulate_runs(design, metrics, pool, truth, range(runs), seed=seed, on_run=on_run)
    return SimulatedRuns(truth, right_verdict(metric, truth, errors), tuple(found))


def _of_shop(workspace: Workspace, design: Design, seed: int) -> ShopPool:
    shop = shop_of(workspace.settings.source)
    for name, variant in design.variants.items():
        if variant.model is None:
            raise TastemakerError(
                f"{name} of {design.name} is a flag of your own code, which the simulated shop does not have",
                fix="say what it does to the users of the log: --effect 0.03",
            )
    versions = versions_of(workspace.registry, workspace.problem.name, design.variants)
    return ShopPool(
        shop,
        workspace.problem,
        [partial(_open, workspace, versions[name]) for name in design.variants],
        control=list(design.variants).index(design.control),
        window_days=design.window_days,
        seed=seed,
    )


def _open(workspace: Workspace, version: Version, user_ids: Sequence[str]) -> Predictor:
    """Open a version; users have the features that it would have read when it was made."""
    loaded = load_version(version.folder)
    names = loaded.model.capabilities.user_features
    if not names:
        return Predictor(loaded)
    values = recompute(workspace.lake, loaded.manifest.window.end, user_ids).values
    missing = dict.fromkeys(names, math.nan)

    def features(ids: Sequence[str]) -> Float32:
        found = [missing | {k: v for k, v in values.get(one, {}).items() if v is not None} for one in ids]
        return np.array([[one[name] for name in names] for one in found], np.float32)

    return Predictor(loaded, features=features)
