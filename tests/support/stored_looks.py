"""The looks that a home has stored, read from their tables."""

from __future__ import annotations

from sqlalchemy import Engine, select

from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.look import Look
from tastemaker.storage.tables import look_effects, looks


def read_looks(engine: Engine, name: str, epoch: int) -> list[Look]:
    """Return the stored looks at an epoch with their effects, the first one first."""
    found = []
    with engine.connect() as connection:
        of_epoch = (looks.c.experiment == name, looks.c.epoch == epoch)
        for row in connection.execute(select(looks).where(*of_epoch).order_by(looks.c.number)).mappings():
            key = {one: row[one] for one in ("experiment", "epoch", "number")}
            effects = select(*(look_effects.c[one] for one in LookEffect._fields)).filter_by(**key)
            rows = [LookEffect(*one) for one in connection.execute(effects)]
            found.append(Look(**row, effects=tuple(sorted(rows, key=lambda one: one.order))))
    return found
