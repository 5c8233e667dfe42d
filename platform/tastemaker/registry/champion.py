"""Who is champion: the log of promotions and rollbacks. What a version must win first is in
`workflows.promotion_gate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Engine, insert, select

from tastemaker.storage.tables import promotions

Action = Literal["promote", "rollback", "unfreeze"]


@dataclass(frozen=True)
class Promotion:
    """One entry of the log."""

    problem: str
    version_id: str
    action: Action
    forced: bool
    reason: str
    """Why; for a promotion that was not forced, the contest's outcome."""
    at: datetime

    @property
    def freezes(self) -> bool:
        """Whether it is a person's word that no automatic promotion may overrule."""
        return self.forced or self.action == "rollback"


def record(
    engine: Engine, problem: str, version_id: str, action: Action, *, forced: bool, reason: str
) -> Promotion:
    """Append to the log; from then on the version is champion, or still is."""
    promotion = Promotion(problem, version_id, action, forced, reason, datetime.now(UTC))
    with engine.begin() as connection:
        connection.execute(insert(promotions).values(vars(promotion)))
    return promotion


def log(engine: Engine, problem: str) -> list[Promotion]:
    """Every promotion and rollback of a problem, oldest first."""
    columns = [promotions.c[name] for name in Promotion.__dataclass_fields__]
    query = select(*columns).where(promotions.c.problem == problem).order_by(promotions.c.id)
    with engine.connect() as connection:
        return [Promotion(**row) for row in connection.execute(query).mappings()]


def frozen(engine: Engine, problem: str) -> Promotion | None:
    """What keeps automatic promotion from changing the champion: a rollback or a forced promotion.

    It stands until a person promotes without force, or ends it: `tastemaker models unfreeze`.
    """
    entries = log(engine, problem)
    return entries[-1] if entries and entries[-1].freezes else None


def frozen_said(promotion: Promotion) -> str:
    """The freeze in words, with the way out."""
    what = "rollback" if promotion.action == "rollback" else "forced promotion"
    return (
        f"automatic promotion is frozen since the {what} of {promotion.at:%Y-%m-%d %H:%M} UTC "
        f"({promotion.reason}), until a version is promoted without force, or: "
        f"tastemaker models unfreeze --reason REASON"
    )


def current(engine: Engine, problem: str) -> str | None:
    """The champion's version id."""
    entries = log(engine, problem)
    return entries[-1].version_id if entries else None


def predecessors(engine: Engine, problem: str) -> list[str]:
    """The champions before the current one, latest first, each once, without those that were rolled back.

    After the promotion of a, b and c and a rollback to b, only a is left to go back to.
    """
    stack: list[str] = []
    for entry in log(engine, problem):
        if entry.action == "rollback":
            while stack and stack[-1] != entry.version_id:
                stack.pop()
        if not stack or stack[-1] != entry.version_id:
            stack.append(entry.version_id)
    return [each for each in dict.fromkeys(reversed(stack)) if each != stack[-1]]
