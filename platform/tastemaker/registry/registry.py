"""The registry of model versions: rows in the database, folders on disk.

A version is visible once its row exists. The row is written last, so a failure before it leaves nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine, RowMapping, insert, select

from tastemaker.errors import ArtifactError, PluginError, RegistryError
from tastemaker.plugins import discovery
from tastemaker.plugins.recommender import INTERFACE_VERSION, Recommender
from tastemaker.problem import ProblemSpec
from tastemaker.registry import champion, deployment
from tastemaker.registry.artifact import (
    LoadedVersion,
    Precompute,
    load_version,
    verify_version,
    write_version,
)
from tastemaker.registry.champion import Action, Promotion
from tastemaker.registry.code import code_version
from tastemaker.registry.manifest import FORMAT, Manifest, Window, hash_json
from tastemaker.registry.rebuild import lost, to_row
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.storage.tables import backtests, deployments, versions

EARLIER = 5
"""The number of earlier champions that a starting service may fall back on."""

logger = logging.getLogger("tastemaker.registry")


@dataclass(frozen=True)
class Version:
    """A registered version."""

    id: str
    model: str
    problem: str
    content_hash: str
    manifest: Manifest
    backtest_id: str | None
    created_at: datetime
    folder: Path


class Broken(NamedTuple):
    """A version that can't be served, with the reason."""

    version_id: str
    reason: str


class Registry:
    """The model versions in one database, with their artifacts under one folder."""

    def __init__(
        self, engine: Engine, artifacts: Path, *, on_promotion: Callable[[], None] | None = None
    ) -> None:
        """Use a database and a folder.

        Args:
            engine: The metadata database.
            artifacts: The folder of all artifacts.
            on_promotion: Called after each promotion and rollback.
        """
        self.engine = engine
        self.artifacts = artifacts
        self._on_promotion = on_promotion

    def add(
        self,
        model: Recommender[Any],
        *,
        problem: ProblemSpec,
        snapshot: Snapshot,
        window: tuple[int, int],
        counts: Mapping[str, int],
        seed: int,
        backtest_id: str | None = None,
        precompute: Precompute | None = None,
    ) -> Version:
        """Store a fitted model as a new version.

        Args:
            model: The fitted model.
            problem: The problem that it was trained for.
            snapshot: What serving needs beside the model.
            window: The training window [start, end), in seconds since 1970 UTC.
            counts: The numbers of events, users and items in the window.
            seed: The seed of the fit.
            backtest_id: The backtest of the same config, if there was one.
            precompute: Writes what speeds up serving this model into the folder that it is passed.

        Returns:
            The version, which is neither deployed nor promoted.

        Raises:
            ArtifactError: The version can't be written.
            RegistryError: There is no such backtest. In both cases nothing is registered.
        """
        if backtest_id is not None and not self._has_backtest(backtest_id):
            raise RegistryError(
                f"there is no backtest {backtest_id!r}", fix="run the backtests: tastemaker run"
            )
        plugin = discovery.get(model.name)
        spec = problem.model_dump(mode="json")
        before = self.list(model.name, problem=problem.name)
        draft = Manifest(
            format=FORMAT,
            model=model.name,
            version="",
            interface_version=INTERFACE_VERSION,
            distribution=plugin.distribution,
            distribution_version=plugin.version,
            config=model.config.model_dump(mode="json"),
            problem=problem.name,
            problem_spec=spec,
            problem_hash=hash_json(spec),
            window=Window(*window),
            counts=dict(counts),
            data_hash=snapshot.data_hash,
            seed=seed,
            code_version=code_version(),
            created_at=datetime.now(UTC),
            files={},
            snapshot="",
            snapshot_files={},
            content_hash="",
            backtest_id=backtest_id,
            parent=before[0].id if before else None,
        )
        manifest = write_version(self.artifacts, model, snapshot, draft, precompute)
        with self.engine.begin() as connection:
            connection.execute(insert(versions).values(to_row(manifest)))
        return self.get(manifest.version)

    def get(self, version_id: str) -> Version:
        """Return a version by its id. Raises RegistryError if there is none."""
        with self.engine.connect() as connection:
            row = connection.execute(select(versions).where(versions.c.id == version_id)).mappings().first()
        if row is None:
            raise RegistryError(f"no version {version_id!r}", fix="tastemaker models versions lists them")
        return self._from_row(row)

    def list(self, model: str | None = None, *, problem: str | None = None) -> list[Version]:
        """Return versions, newest first.

        Args:
            model: Only versions of this model; all models if None.
            problem: Only versions for this problem; all problems if None.
        """
        query = select(versions).order_by(versions.c.created_at.desc(), versions.c.id.desc())
        if model is not None:
            query = query.where(versions.c.model == model)
        if problem is not None:
            query = query.where(versions.c.problem == problem)
        with self.engine.connect() as connection:
            return [self._from_row(row) for row in connection.execute(query).mappings()]

    def ids(self, problem: str) -> set[str]:
        """Return the ids of all versions for a problem, without reading their manifests."""
        query = select(versions.c.id).where(versions.c.problem == problem)
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def newest(self, model: str, *, problem: str | None = None) -> Version:
        """Return the newest intact version; each damaged one that is skipped is logged as a warning.

        Args:
            model: The model's name.
            problem: Only versions for this problem; all problems if None.

        Raises:
            RegistryError: There is none; the message gives the reason for each skipped version.
        """
        broken = []
        for version in self.list(model, problem=problem):
            if (reason := self._fault(version)) is None:
                return version
            broken.append(reason)
            logger.warning("version %s of %s is skipped: %s", version.id, model, reason)
        of_problem = f" for the problem {problem!r}" if problem else ""
        raise RegistryError(
            "\n    ".join([f"no sound version of {model!r}{of_problem}", *broken]),
            fix=self._how_to_get_one(),
        )

    def _how_to_get_one(self) -> str:
        if said := lost(self.engine, self.artifacts):
            return said
        return "train it: tastemaker run; tastemaker models versions lists what there is"

    def _has_backtest(self, backtest_id: str) -> bool:
        with self.engine.connect() as connection:
            query = select(backtests.c.id).where(backtests.c.id == backtest_id)
            return connection.execute(query).first() is not None

    def broken(self, model: str | None = None) -> tuple[Broken, ...]:
        """Verify every version, reading all its files, and return those that can't be served."""
        faults = ((version.id, self._fault(version)) for version in self.list(model))
        return tuple(Broken(version_id, reason) for version_id, reason in faults if reason is not None)

    def open(self, version: Version) -> LoadedVersion:
        """Verify and load a version. Raises ArtifactError or PluginError."""
        return load_version(version.folder)

    def champion(self, problem: str) -> Version | None:
        """Return the champion of a problem; None before the first promotion."""
        version_id = champion.current(self.engine, problem)
        return None if version_id is None else self.get(version_id)

    def make_champion(
        self, version: Version, reason: str, *, forced: bool, actor: str | None = None
    ) -> Promotion:
        """Record a version as its problem's champion and have it served, without a test.

        Args:
            version: A registered version whose files were verified.
            reason: Why, in words.
            forced: Whether a person overrode the challenger test, which freezes automatic promotion.
            actor: Who does it; None: that is not known.

        Returns:
            The entry of the log of promotions.
        """
        return self._record("promote", version, reason, forced=forced, actor=actor)

    def rollback(self, problem: str, reason: str, actor: str | None = None) -> Promotion:
        """Make the previous champion the champion again; one that can't be served is skipped.

        Args:
            problem: The problem's name.
            reason: Why, in words.
            actor: Who does it; None: that is not known.

        Returns:
            The entry of the log of promotions, which names the version that is champion now.

        Raises:
            RegistryError: There is no earlier champion that can be served, or no reason.
        """
        if not reason.strip():
            raise RegistryError("a rollback needs a reason", fix="say why in a few words")
        for version_id in champion.predecessors(self.engine, problem):
            version = self.get(version_id)
            fault = self._fault(version)
            if fault is None:
                return self._record("rollback", version, reason.strip(), forced=False, actor=actor)
            logger.warning("version %s is skipped: %s", version_id, fault)
        raise RegistryError(
            f"no earlier champion of the problem {problem!r} to go back to",
            fix="promote another version: tastemaker models promote VERSION",
        )

    def frozen(self, problem: str) -> Promotion | None:
        """Return the rollback or forced promotion that stops automatic promotion; None if there is none."""
        return champion.frozen(self.engine, problem)

    def unfreeze(self, problem: str, reason: str, actor: str | None = None) -> Promotion:
        """End a freeze of automatic promotion.

        Args:
            problem: The problem's name.
            reason: Why, in words.
            actor: Who does it; None: that is not known.

        Returns:
            The entry of the log of promotions; the champion stays.

        Raises:
            RegistryError: Automatic promotion is not frozen, or there is no reason.
        """
        if not reason.strip():
            raise RegistryError("ending a freeze needs a reason", fix="say why in a few words")
        current = self.champion(problem)
        if current is None or self.frozen(problem) is None:
            raise RegistryError(
                f"automatic promotion of the problem {problem!r} is not frozen",
                fix="nothing is to be done; tastemaker run promotes the best model that may be",
            )
        return champion.record(
            self.engine, problem, current.id, "unfreeze", forced=False, reason=reason.strip(), actor=actor
        )

    def deploy(self, version: Version) -> None:
        """Have services of the model switch to a version. Raises ArtifactError if it is not intact."""
        verify_version(version.folder)
        deployment.deploy(self.artifacts, version.model, version.id, version.problem)
        with self.engine.begin() as connection:
            row = {"model": version.model, "version_id": version.id, "at": datetime.now(UTC)}
            connection.execute(insert(deployments).values(row))

    def _record(
        self, action: Action, version: Version, reason: str, *, forced: bool, actor: str | None
    ) -> Promotion:
        promotion = champion.record(
            self.engine, version.problem, version.id, action, forced=forced, reason=reason, actor=actor
        )
        deployment.deploy(self.artifacts, version.model, version.id, version.problem)
        self._deploy_champion(version)
        if self._on_promotion is not None:
            self._on_promotion()
        return promotion

    def publish(self, problem: str) -> None:
        """Write the champion file that services follow, if it is missing, damaged or out of date.

        Raises:
            ArtifactError: The file can't be written.
        """
        log = champion.log(self.engine, problem)
        if not log:
            return
        try:
            written = deployment.read_champion(deployment.champion_path(self.artifacts, problem))
        except ArtifactError as error:
            logger.warning("the champion file is rebuilt: %s", error.problem)
            written = None
        if written is None or written.at < log[-1].at.timestamp():
            self._deploy_champion(self.get(log[-1].version_id))

    def _deploy_champion(self, version: Version) -> None:
        before = [self.get(each) for each in champion.predecessors(self.engine, version.problem)]
        earlier = [deployment.Target(one.model, one.id) for one in before[:EARLIER]]
        named = deployment.Champion(version.model, version.id, version.problem, time.time(), earlier)
        deployment.deploy_champion(self.artifacts, named)

    def _fault(self, version: Version) -> str | None:
        """Return why a version can't be served; None if it can."""
        try:
            manifest = verify_version(version.folder)
            discovery.get(version.model)
        except (ArtifactError, PluginError) as error:
            return error.problem
        if manifest.content_hash != version.content_hash:
            return f"its content hash is {manifest.content_hash}, the registry says {version.content_hash}"
        return None

    def _from_row(self, row: RowMapping) -> Version:
        return Version(
            id=row["id"],
            model=row["model"],
            problem=row["problem"],
            content_hash=row["content_hash"],
            manifest=msgspec.convert(row["manifest"], Manifest),
            backtest_id=row["backtest_id"],
            created_at=row["created_at"],
            folder=self.artifacts / row["model"] / row["id"],
        )
