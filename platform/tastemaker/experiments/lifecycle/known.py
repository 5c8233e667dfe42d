"""What a design may name: the namespaces, metrics and versions that there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from tastemaker.errors import TastemakerError
from tastemaker.experiments import unit_metrics
from tastemaker.experiments.design import VariantDesign
from tastemaker.experiments.design_checks import DesignFault, Known
from tastemaker.experiments.interleaving_checks import interleaving_fault
from tastemaker.experiments.lifecycle.namespaces import list_namespaces
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.lifecycle.services import versions_of
from tastemaker.problem import ProblemSpec
from tastemaker.registry import Registry
from tastemaker.registry.artifact import verify_version
from tastemaker.serving_settings import RetrievalSettings


def read_known(
    connection: Connection,
    registry: Registry,
    problem: ProblemSpec,
    retrieval: RetrievalSettings | None = None,
) -> Known:
    """Return what a design may name.

    Args:
        connection: Of the metadata database.
        registry: The registry, which says what can be served.
        problem: The problem, which has the types of events.
        retrieval: How the services rank; None where that is not known.
    """

    types = unit_metrics.rewarded_types(problem)

    def version_fault(variant: VariantDesign) -> DesignFault | None:
        return _fault_of(partial(_require_version, registry, problem.name, variant))

    return Known(
        namespaces={one.name: one.unit for one in list_namespaces(connection)},
        metric_fault=lambda name: _fault_of(lambda: unit_metrics.find(name, types)),
        version_fault=version_fault,
        has_champion=registry.champion(problem.name) is not None,
        mixing_fault=None if retrieval is None else interleaving_fault(retrieval),
    )


def require_versions(registry: Registry, problem: str, experiment: Experiment) -> None:
    """Refuse to enrol more units if a version that they would get is gone or damaged.

    Args:
        registry: The registry, which says what can be served.
        problem: The problem's name.
        experiment: The experiment, each of whose variants is checked.

    Raises:
        TastemakerError: A variant's version does not exist any more, or is damaged.
    """
    for name, variant in experiment.design.variants.items():
        fault = _fault_of(partial(_require_version, registry, problem, variant))
        if fault is not None:
            raise TastemakerError(
                f"{experiment.name} can't enrol more units: variant {name}: {fault.problem}",
                fix=f"{fault.fix}; or: tastemaker experiment roll-back {experiment.name} --reason REASON",
            )


def _require_version(registry: Registry, problem: str, variant: VariantDesign) -> None:
    """Raise TastemakerError if a variant's version does not exist or is damaged."""
    for version in versions_of(registry, problem, {"": variant}).values():
        verify_version(version.folder)


def _fault_of(check: Callable[[], object]) -> DesignFault | None:
    try:
        check()
    except TastemakerError as error:
        return DesignFault(error.problem, error.fix or "name another")
    return None
