"""The epochs of a bandit whose units keep their variants: folded from its changes and designs.

Each epoch enrols buckets of its own, from where the one before ended. A new epoch that a person begins
assigns all units again, so that those before it have no units.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from tastemaker.experiments.design import Design
from tastemaker.experiments.lifecycle import audit
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.plan import EarlierEpoch
from tastemaker.storage.tables import experiment_plans, looks


def earlier_epochs(connection: Connection, experiment: Experiment) -> tuple[EarlierEpoch, ...]:
    """Return the epochs whose units the present one leaves as they are, the oldest first.

    Args:
        connection: Of the metadata database.
        experiment: The experiment; only a bandit has such epochs.
    """
    if experiment.kind != "bandit":
        return ()
    designs = _designs(connection, experiment.name)
    found: list[EarlierEpoch] = []
    for before, change in pairwise(audit.read(connection, experiment.name)):
        if change.action == "allocate":
            found.append(
                EarlierEpoch(before.epoch, before.enrolment, bucket_ranges(designs[before.revision]))
            )
        elif change.action == "new_epoch":
            found = []
    return tuple(found)


def epochs_in_force(connection: Connection, experiment: Experiment) -> range:
    """Return the epochs whose units still have the variants that these gave them.

    Args:
        connection: Of the metadata database.
        experiment: The experiment; unless it is a bandit, only the present epoch is in force.
    """
    earlier = earlier_epochs(connection, experiment)
    return range(earlier[0].epoch if earlier else experiment.epoch, experiment.epoch + 1)


def planned_looks(connection: Connection, experiment: Experiment) -> Sequence[Row[Any]]:
    """Return the looks at the epochs in force that could decide, the first one first.

    Args:
        connection: Of the metadata database.
        experiment: The experiment as it is stored.

    Returns:
        Rows of the table `looks`, without effects.
    """
    c = looks.c
    epochs = epochs_in_force(connection, experiment)
    mine = c.experiment == experiment.name, c.is_planned, c.epoch >= epochs.start
    return connection.execute(select(looks).where(*mine).order_by(c.epoch, c.number)).all()


def bucket_ranges(design: Design) -> dict[str, tuple[int, int]]:
    """Return each variant's buckets [start, end), one range after the other."""
    found, start = {}, 0
    for name, variant in design.variants.items():
        found[name] = (start, start + variant.share)
        start += variant.share
    return found


def _designs(connection: Connection, name: str) -> dict[int, Design]:
    c = experiment_plans.c
    rows = connection.execute(select(c.revision, c.design).where(c.experiment == name))
    return {row.revision: msgspec.convert(row.design, Design) for row in rows}
