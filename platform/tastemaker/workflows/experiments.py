"""What a change of an experiment needs from layers above it: versions that answer, forecasts, promotion."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from tastemaker.errors import RegistryError
from tastemaker.experiments.analysis.looks import WITHOUT_LOOKS
from tastemaker.experiments.lifecycle.services import versions_of
from tastemaker.workflows.experiment_forecast import store_forecasts

if TYPE_CHECKING:
    from tastemaker.experiments.design import Design
    from tastemaker.experiments.lifecycle.audit import Change
    from tastemaker.experiments.lifecycle.records import Experiment
    from tastemaker.registry import Version
    from tastemaker.registry.champion import Promotion
    from tastemaker.workflows.workspace import Workspace


def make_ready(
    workspace: Workspace, name: str, *, actor: str, reason: str, expected_changes: int | None = None
) -> Change:
    """Make a draft ready: versions answer golden requests, units are claimed, forecasts are stored.

    Args:
        workspace: The home folder that has the experiment.
        name: The experiment's name.
        actor: Who does it, as in `Experiments.change`.
        reason: Why, in words; it is recorded with the change.
        expected_changes: As in `Experiments.change`.

    Returns:
        The change as it is stored.

    Raises:
        TastemakerError: The design is not complete, a version does not answer as recorded, or too few units
            are free.
    """
    from tastemaker.serving.runtime import golden_requests

    experiment = workspace.experiments.require_possible(
        name, "ready", actor=actor, expected_changes=expected_changes
    )
    workspace.experiments.check(experiment.design)
    for version in _versions(workspace, experiment).values():
        golden_requests.check(workspace.registry.open(version))
    change = workspace.experiments.change(
        name, "ready", actor=actor, reason=reason, expected_changes=expected_changes
    )
    if experiment.kind not in WITHOUT_LOOKS:
        store_forecasts(workspace, experiment)
    return change


def begin_epoch(
    workspace: Workspace,
    name: str,
    *,
    actor: str,
    reason: str,
    design: Design | None = None,
    expected_changes: int | None = None,
) -> Change:
    """Begin a new epoch, with forecasts of its own.

    Args:
        workspace: The home folder that has the experiment.
        name: The experiment's name.
        actor: Who does it, as in `Experiments.change`.
        reason: Why, in words; it is recorded with the change.
        design: The new design; None: it stays.
        expected_changes: As in `Experiments.change`.

    Returns:
        The change as it is stored.

    Raises:
        TastemakerError: As `Experiments.change`.
    """
    change = workspace.experiments.change(
        name, "new_epoch", actor=actor, reason=reason, design=design, expected_changes=expected_changes
    )
    store_forecasts(workspace, workspace.experiments.get(name))
    return change


def ship_variant(
    workspace: Workspace,
    name: str,
    variant: str,
    *,
    actor: str,
    reason: str,
    confirmed: Collection[str] = (),
    expected_changes: int | None = None,
) -> tuple[Change, Promotion | None]:
    """End an experiment with a variant, whose version becomes the champion.

    Where the offline comparison does not agree with the experiment, the promotion freezes automatic
    promotion, which would undo it.

    Args:
        workspace: The home folder that has the experiment.
        name: The experiment's name.
        variant: The name of the variant that all users get.
        actor: A person, or the rollout that owns the experiment.
        reason: Why, in words; it is recorded with the change.
        confirmed: Guards that the person passes by.
        expected_changes: As in `Experiments.change`.

    Returns:
        The change, and the promotion; None for a flag of the shop's own code.

    Raises:
        ActionRefused: The experiment has not decided so.
        ArtifactError: The version is damaged.
    """
    experiments = workspace.experiments
    experiment = experiments.require_possible(
        name,
        "ship",
        actor=actor,
        variant=variant,
        confirmed=confirmed,
        expected_changes=expected_changes,
    )
    version = _versions(workspace, experiment).get(variant)
    evidence = {"variant": variant}
    promotion = None
    if version is not None:
        said = f"{_shown_by(workspace, experiment)} ({reason})"
        promotion = _promote(workspace, version, said, actor)
        evidence["champion"] = version.id
    change = experiments.change(
        name,
        "ship",
        actor=actor,
        reason=reason,
        evidence=evidence,
        expected_changes=experiment.changes,
        confirmed=confirmed,
    )
    return change, promotion


def _shown_by(workspace: Workspace, experiment: Experiment) -> str:
    """Return what a promotion rests on, in words."""
    look = workspace.experiments.facts(experiment.name).look
    if look is not None:
        return f"experiment {experiment.name}, look {look.number}: {look.sentence}"
    share = f"{experiment.enrolment / 10_000:g} % of the units"
    return f"{experiment.name}: every guardrail allowed each step, up to {share}"


def _promote(workspace: Workspace, version: Version, reason: str, actor: str) -> Promotion:
    """Promote a version for the reason of an experiment's result."""
    from tastemaker.registry.artifact import verify_version

    verify_version(version.folder)
    try:
        agrees = workspace.promotion_gate.test(version).passed
    except RegistryError:  # there is no backtest to compare
        agrees = False
    return workspace.registry.make_champion(version, reason, forced=not agrees, actor=actor)


def _versions(workspace: Workspace, experiment: Experiment) -> dict[str, Version]:
    """Return the version of each variant that has a model."""
    return versions_of(workspace.registry, experiment.problem, experiment.design.variants)
