"""The plan file, compiled from the database: the experiments that run or are held, and their services.

A change of an experiment, a promotion of another champion and a new version of a recipe need a new
compilation. A plan that contradicts itself is refused, and the plan in force stays.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine

from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import Design
from tastemaker.experiments.lifecycle import kills
from tastemaker.experiments.lifecycle.claims import claimed
from tastemaker.experiments.lifecycle.enrolled import newest_enrolled
from tastemaker.experiments.lifecycle.epochs import bucket_ranges, earlier_epochs
from tastemaker.experiments.lifecycle.forced import read_forced
from tastemaker.experiments.lifecycle.namespaces import planned_holdouts, planned_namespaces
from tastemaker.experiments.lifecycle.records import Experiment, read_experiments
from tastemaker.experiments.lifecycle.services import PinnedServices
from tastemaker.experiments.plan import ControlPlan, PlannedExperiment, Variant
from tastemaker.experiments.plan_checks import check_plan
from tastemaker.experiments.plan_file import is_older, newest_archived, write_plan
from tastemaker.registry import Registry
from tastemaker.util.file_lock import file_lock


class PlanCompiler:
    """Compiles the plan of one home folder."""

    def __init__(self, engine: Engine, registry: Registry, folder: Path, problem: str) -> None:
        """Use a database and a folder.

        Args:
            engine: The metadata database.
            registry: The versions that variants name.
            folder: The folder of the plan file.
            problem: The problem whose champion answers users without an experiment.
        """
        self._engine, self._registry, self._folder, self._problem = engine, registry, folder, problem

    def compile(self, connection: Connection, also: str | None = None) -> ControlPlan:
        """Return the plan as the database has it, with revision 0.

        Args:
            connection: Of the metadata database, possibly within a transaction.
            also: An experiment that does not run yet, to check it beside the others.

        Raises:
            TastemakerError: A version or a file of enrolled units is missing, or the plan contradicts itself.
        """
        services = PinnedServices(self._registry, self._folder, self._problem)
        now = datetime.now(UTC)
        chosen = [one for one in read_experiments(connection) if one.is_active or one.name == also]
        plan = ControlPlan(
            revision=0,
            made_at=0,
            default=services.default(),
            namespaces=planned_namespaces(connection),
            holdouts=planned_holdouts(connection, now),
            experiments=tuple(
                self._planned(connection, one, services) for one in sorted(chosen, key=lambda one: one.name)
            ),
        )
        plan = msgspec.structs.replace(plan, services=services.all)
        check_plan(plan)
        return plan

    def publish(self) -> ControlPlan:
        """Write the plan file if its content changes, and return the plan in it.

        Raises:
            TastemakerError: As `compile`; the plan in force stays. Or the file can't be written.
        """
        with file_lock(self._folder / kills.LOCK):
            with self._engine.connect() as connection:
                plan = self.compile(connection)
            while True:
                killed = {one.experiment for one in kills.pending(self._folder)}
                written = self._write(kills.with_kills(plan, killed))
                if killed == {one.experiment for one in kills.pending(self._folder)}:
                    return written

    def _write(self, plan: ControlPlan) -> ControlPlan:
        path = self._folder / kills.PLAN
        current, last = kills.readable_plan(path), newest_archived(self._folder)
        if current is None or (last is not None and is_older(current, last)):
            revision = 1 + (last.revision if last else 0)
        elif plan == msgspec.structs.replace(current, revision=0, made_at=0):
            return current
        else:
            revision = 1 + current.revision
        dated = msgspec.structs.replace(plan, revision=revision, made_at=time.time())
        try:
            write_plan(path, dated)
        except OSError as error:
            raise TastemakerError(
                f"{path} can't be written: {error.strerror or error}; the plan in force stays",
                fix="free some space or fix the permissions, then: tastemaker experiment plan --write",
            ) from error
        return dated

    def _planned(
        self, connection: Connection, experiment: Experiment, services: PinnedServices
    ) -> PlannedExperiment:
        design = experiment.design
        return PlannedExperiment(
            name=experiment.name,
            kind=experiment.kind,
            namespace=experiment.namespace,
            salt=experiment.salt,
            epoch=experiment.epoch,
            claim=claimed(connection, experiment.name),
            enrolment=experiment.enrolment,
            variants=planned_variants(design, services),
            control=design.control,
            earlier=earlier_epochs(connection, experiment),
            targeting=design.targeting,
            forced={
                key: variant
                for key, variant in read_forced(self._folder).get(experiment.name, {}).items()
                if variant in design.variants
            },
            enrolled=newest_enrolled(self._folder, experiment) if experiment.state == "holding" else None,
            data_diversion=design.data_diversion,
        )


def planned_variants(design: Design, services: PinnedServices) -> tuple[Variant, ...]:
    """Return the variants with their buckets, one range after the other.

    Args:
        design: Gives the variants with their shares.
        services: Collects the services that they need.
    """
    served = services.of(design.variants)
    return tuple(
        Variant(name, start, end, served.get(name), design.variants[name].value)
        for name, (start, end) in bucket_ranges(design).items()
    )
