"""Experiments: every change is one transaction with its row in the audit trail, then the plan is compiled."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log import spool_file
from tastemaker.experiments.design import Design
from tastemaker.experiments.design_checks import check_design
from tastemaker.experiments.lifecycle import audit, changes, kills, namespaces
from tastemaker.experiments.lifecycle.audit import Change
from tastemaker.experiments.lifecycle.compile import PlanCompiler
from tastemaker.experiments.lifecycle.drafts import store_draft
from tastemaker.experiments.lifecycle.enrolled import remove_unused, write_units
from tastemaker.experiments.lifecycle.epochs import epochs_in_force, planned_looks
from tastemaker.experiments.lifecycle.forced import change_forced
from tastemaker.experiments.lifecycle.guards import Facts, has_passed_aa, read_facts, result_of
from tastemaker.experiments.lifecycle.known import read_known, require_versions
from tastemaker.experiments.lifecycle.namespaces import StoredHoldout, StoredNamespace
from tastemaker.experiments.lifecycle.next_actions import NextAction, read_next_actions
from tastemaker.experiments.lifecycle.outcomes import store_outcomes
from tastemaker.experiments.lifecycle.records import Experiment, read_experiment, read_experiments
from tastemaker.experiments.lifecycle.states import (
    ACTIVE,
    CLOSING,
    OPENING_FURTHER,
    require_allowed,
)
from tastemaker.experiments.plan import ControlPlan, Unit
from tastemaker.problem import ProblemSpec
from tastemaker.registry import Registry
from tastemaker.serving_settings import RetrievalSettings

logger = logging.getLogger("tastemaker.experiments")

FOLDER = "experiments"
"""Folder of the plan file within the home folder."""


class Experiments:
    """The experiments of one problem and home folder."""

    def __init__(
        self, engine: Engine, home: Path, problem: ProblemSpec, retrieval: RetrievalSettings | None = None
    ) -> None:
        """Use a database and a home folder.

        Args:
            engine: The metadata database.
            home: The home folder, with the artifacts and the lake.
            problem: The problem; its champion answers users without an experiment.
            retrieval: How the services rank: not all lists may be interleaved. None: it is not checked.
        """
        self.engine, self.problem, self._retrieval = engine, problem, retrieval
        self.folder = home / FOLDER
        self._lake, self._spool = Lake(home / "lake"), home / "spool" / spool_file.FILE_NAME
        self._registry = Registry(engine, home / "artifacts")
        self._compiler = PlanCompiler(engine, self._registry, self.folder, problem.name)

    def namespaces(self) -> Sequence[StoredNamespace]:
        """Return all namespaces by name."""
        with self.engine.connect() as connection:
            return namespaces.list_namespaces(connection)

    def holdouts(self) -> Sequence[StoredHoldout]:
        """Return all holdouts by name, ended ones, too."""
        with self.engine.connect() as connection:
            return namespaces.list_holdouts(connection)

    def add_holdout(self, name: str, *, unit: Unit, share: int, covers: Sequence[str], reason: str) -> None:
        """Hold out units from now on.

        Args:
            name: The holdout's name.
            unit: What is held out.
            share: How many of the 1,000,000 buckets.
            covers: Names of the namespaces that it covers; all if empty.
            reason: What it is for.

        Raises:
            TastemakerError: As `namespaces.add_holdout`.
        """
        with changes.making(self.engine, name) as connection:
            now = datetime.now(UTC)
            namespaces.add_holdout(
                connection, name, unit=unit, share=share, covers=covers, reason=reason, now=now
            )
        self.publish()

    def end_holdout(self, name: str) -> None:
        """End a holdout now. Raises TastemakerError if there is no open one of this name."""
        with self.engine.begin() as connection:
            namespaces.end_holdout(connection, name, datetime.now(UTC))
        self.publish()

    def create(self, design: Design, author: str, *, new_unit: Unit | None = None) -> Experiment:
        """Store a draft of an experiment.

        Args:
            design: What is to be tried. Only its name, its owner and its namespace are checked.
            author: Who writes it.
            new_unit: The unit of its namespace, which is made with it; None: there is one.

        Returns:
            The draft as it is stored.

        Raises:
            TastemakerError: There is an experiment of this name, its name has other signs than names have, or
                there is no such namespace.
        """
        with changes.making(self.engine, design.name) as connection:
            return store_draft(connection, design, author, problem=self.problem.name, new_unit=new_unit)

    def add_namespace(self, name: str, unit: Unit = "user", *, cool_down_seconds: int) -> None:
        """Make a namespace, whose experiments share no unit.

        Args:
            name: Its name: a surface, such as home.
            unit: What is assigned.
            cool_down_seconds: How long released buckets stay free.

        Raises:
            TastemakerError: There is one of this name.
        """
        with changes.making(self.engine, name) as connection:
            namespaces.add_namespace(connection, name, unit, cool_down_seconds, datetime.now(UTC))
        self.publish()

    def get(self, name: str) -> Experiment:
        """Return an experiment by its name. Raises TastemakerError if there is none."""
        with self.engine.connect() as connection:
            return read_experiment(connection, name)

    def list(self, states: Collection[str] | None = None) -> Sequence[Experiment]:
        """Return experiments, the newest first.

        Args:
            states: Only those in these states; None: all.
        """
        with self.engine.connect() as connection:
            return read_experiments(connection, states)

    def history(self, name: str) -> Sequence[Change]:
        """Return an experiment's changes, oldest first. Raises TastemakerError if there is no such one."""
        with self.engine.connect() as connection:
            read_experiment(connection, name)
            return audit.read(connection, name)

    def verify(self, name: str) -> Sequence[str]:
        """Return what is wrong with an experiment's audit trail, in words; empty if nothing is."""
        with self.engine.connect() as connection:
            return audit.verify(connection, name)

    def change(
        self,
        name: str,
        action: str,
        *,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
        expected_changes: int | None = None,
        design: Design | None = None,
        confirmed: Collection[str] = (),
    ) -> Change:
        """Change an experiment, record it, and have it take effect.

        Args:
            name: The experiment's name.
            action: What is done, such as start, step or roll_back.
            actor: A person, or `guardrail:NAME`, or `schedule`.
            reason: Why, in words.
            evidence: Figures that the change rests on; for `ship`, the `variant`.
            expected_changes: The `changes` of the experiment that the actor has seen: it is refused if there
                were others since. An automatic actor has to say it.
            design: The new design, of `revise`, `new_epoch` and `allocate`.
            confirmed: Names of guards that a person passes by.

        Returns:
            The change as it is stored.

        Raises:
            ActionRefused: The state, the actor, a guard or a change in the meantime does not allow it.
            TastemakerError: The design or the plan would be wrong, or the plan file can't be written.
        """
        self.settle_kills()
        given = dict(evidence or {}) | ({"confirmed": sorted(confirmed)} if confirmed else {})
        with self.engine.begin() as connection:
            experiment = read_experiment(connection, name)
            changes.require_problem(experiment, self.problem.name)
            changes.require_reason(name, actor, reason)
            changes.require_current(experiment, actor, expected_changes, audit.read(connection, name)[-1])
            proposed = design or experiment.design
            found = require_allowed(name, experiment.standing, action, actor, proposed)
            changes.require_design(experiment, found, design)
            facts = read_facts(connection, experiment)
            changes.require_unobjected(experiment, found, facts, actor, given.get("variant"), confirmed)
            if found in ("ready", "new_epoch"):
                check_design(proposed, read_known(connection, self._registry, self.problem, self._retrieval))
            elif found in OPENING_FURTHER:
                require_versions(self._registry, self.problem.name, experiment)
            if found == "hold":
                self._write_units(connection, experiment)
            stored = changes.apply(
                connection,
                experiment,
                found,
                actor=actor,
                reason=reason,
                evidence=given | result_of(found, facts),
                design=design,
            )
            if found in ("ship", "drop") and facts.look is not None:
                store_outcomes(connection, facts.look, planned_looks(connection, experiment))
            if found not in CLOSING:
                self._compiler.compile(connection, also=name if found == "ready" else None)
        try:
            self.publish()
        except TastemakerError:
            if found in CLOSING and experiment.is_active:
                self.kill(name, actor=actor, reason=reason)  # whatever is wrong with the others' plan
            raise
        return stored

    def require_possible(
        self,
        name: str,
        action: str,
        *,
        actor: str,
        variant: str | None = None,
        confirmed: Collection[str] = (),
        expected_changes: int | None = None,
    ) -> Experiment:
        """Return an experiment for which an action is possible now, without doing it.

        Args:
            name: The experiment's name.
            action: What is to be done, such as start, step or roll_back.
            actor: Who wants it.
            variant: The variant to ship.
            confirmed: Names of guards that the actor passes by.
            expected_changes: As in `change`.

        Raises:
            ActionRefused: It is not possible.
        """
        self.settle_kills()
        with self.engine.connect() as connection:
            experiment = read_experiment(connection, name)
            changes.require_problem(experiment, self.problem.name)
            changes.require_current(experiment, actor, expected_changes, audit.read(connection, name)[-1])
            found = require_allowed(name, experiment.standing, action, actor, experiment.design)
            facts = read_facts(connection, experiment)
            changes.require_unobjected(experiment, found, facts, actor, variant, confirmed)
        return experiment

    def facts(self, name: str) -> Facts:
        """Return what the guards of an experiment depend on."""
        with self.engine.connect() as connection:
            return read_facts(connection, read_experiment(connection, name))

    def has_passed_aa(self, namespace: str) -> bool:
        """Return whether an A/A experiment of a namespace ended without a difference and with valid looks."""
        with self.engine.connect() as connection:
            return has_passed_aa(connection, namespace)

    def next_actions(self, name: str) -> Sequence[NextAction]:
        """Return what a person may do with an experiment now, and what it would do."""
        with self.engine.connect() as connection:
            return read_next_actions(connection, read_experiment(connection, name))

    def check(self, design: Design, unit: Unit | None = None) -> None:
        """Raise TastemakerError with all that is wrong with a design.

        Args:
            design: The design to check.
            unit: The unit of its namespace, if that is still to be made.
        """
        with self.engine.connect() as connection:
            known = read_known(connection, self._registry, self.problem, self._retrieval)
        if unit is not None:
            known = known._replace(namespaces={design.namespace: unit, **known.namespaces})
        check_design(design, known)

    def force(self, name: str, key: str, variant: str | None, *, actor: str, reason: str) -> str | None:
        """Put a unit into a variant, to look at it, and record who did it.

        Args:
            name: The experiment's name.
            key: The unit's `forced_key`; its id is nowhere.
            variant: The variant's name; None to let the plan decide about the unit again.
            actor: The person who wants it.
            reason: Why, in words.

        Returns:
            The variant that it was forced into before; None if it was not.

        Raises:
            ActionRefused: The actor or the reason is missing.
            TastemakerError: The plan would contradict itself, or a file can't be read or written.
        """
        before = change_forced(self.folder, name, key, variant)
        try:
            evidence = {"unit_key": key, "variant": variant, "variant_before": before}
            self.change(name, "force", actor=actor, reason=reason, evidence=evidence)
        except TastemakerError:
            change_forced(self.folder, name, key, before)
            raise
        return before

    def kill(self, name: str, *, actor: str, reason: str) -> None:
        """Give all units of an experiment the default at once; the database is not needed for that.

        The change is recorded by `settle_kills`, at the latest before the next change.

        Args:
            name: The experiment's name.
            actor: Who kills it.
            reason: Why, in words.

        Raises:
            ActionRefused: The actor or the reason is missing.
            TastemakerError: It does not run, or the plan file can't be read or written.
        """
        kills.kill(self.folder, name, actor, reason)

    def settle_kills(self) -> None:
        """Record kills that the database does not have yet."""
        pending = kills.pending(self.folder)
        for one in pending:
            with self.engine.begin() as connection:
                running = {each.name: each for each in read_experiments(connection, ACTIVE)}
                if (experiment := running.get(one.experiment)) is not None:
                    said = {"killed_at": one.killed_at.isoformat()}
                    changes.apply(
                        connection, experiment, "kill", actor=one.actor, reason=one.reason, evidence=said
                    )
        try:
            if pending:
                self.publish()  # before they are forgotten: no compilation under way may take a kill back
        except TastemakerError as error:
            logger.warning("kills stay in the plan, which can't be compiled: %s", error)
            return
        for one in pending:
            kills.settle(self.folder, one.experiment)

    def owns(self, plan: ControlPlan) -> bool:
        """Return whether a plan's default is a version of this problem, or it has none."""
        default = next((one for one in plan.services if one.name == plan.default), None)
        return default is None or self._registry.get(default.version).problem == self.problem.name

    def publish(self) -> ControlPlan:
        """Compile the plan, and write its file if it changes.

        Changes of experiments do it by themselves. It is also needed after a promotion, after a new version
        of a recipe, and while an experiment is held, so that units whose exposure arrived late stay in it.

        Raises:
            TastemakerError: A version is missing, or the file can't be written. The plan in force stays.
        """
        with self.engine.connect() as connection:
            for held in read_experiments(connection, ("holding",)):
                self._write_units(connection, held)
        plan = self._compiler.publish()
        remove_unused(self.folder, (one.enrolled for one in plan.experiments if one.enrolled))
        return plan

    def _write_units(self, connection: Connection, experiment: Experiment) -> None:
        epochs = epochs_in_force(connection, experiment)
        write_units(self.folder, self._lake, self._spool, experiment, epochs)
