"""What the versions of the variants of experiments learned from, counted and stored for the result's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert

from tastemaker.experiments.lifecycle.records import Experiment, read_experiments
from tastemaker.experiments.lifecycle.services import versions_of
from tastemaker.experiments.lifecycle.states import ACTIVE
from tastemaker.storage.tables import learned_lists
from tastemaker.workflows.online_learning import lists_learned_by
from tastemaker.workflows.workspace import Workspace


def store_learned_lists(workspace: Workspace, now: datetime | None = None) -> int:
    """Count the lists that the variants of the active experiments learned from, and replace earlier counts.

    Args:
        workspace: The home folder that has the experiments and the log.
        now: When it is; None: the current time.

    Returns:
        The number of experiments that were counted.

    Raises:
        TastemakerError: A variant's version is gone, or the log can't be read.
    """
    at = now or datetime.now(UTC)
    with workspace.engine.connect() as connection:
        active = [one for one in read_experiments(connection, ACTIVE) if one.is_routed]
    for experiment in active:
        rows = [row | {"counted_at": at} for row in _rows(workspace, experiment)]
        c = learned_lists.c
        with workspace.engine.begin() as transaction:
            mine = (c.experiment == experiment.name, c.epoch == experiment.epoch)
            transaction.execute(delete(learned_lists).where(*mine))
            if rows:
                transaction.execute(insert(learned_lists), rows)
    return len(active)


def _rows(workspace: Workspace, experiment: Experiment) -> Iterator[dict[str, Any]]:
    versions = versions_of(workspace.registry, experiment.problem, experiment.design.variants)
    for name, version in versions.items():
        lists = Counter[tuple[str, str, str]]()
        for one in lists_learned_by(workspace, version):
            shown_by = one.variant if one.experiment == experiment.name else None
            lists[one.learned_in, one.version, shown_by or ""] += one.lists
        for (learned_in, from_version, from_variant), count in lists.items():
            yield {
                "experiment": experiment.name,
                "epoch": experiment.epoch,
                "variant": name,
                "learned_in": learned_in,
                "from_version": from_version,
                "from_variant": from_variant,
                "version": version.id,
                "lists": count,
            }
