"""The log of promotions and rollbacks, whose last entry names the champion.

The test that a version must pass first is in `workflows.promotion_gate`.
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
    """An entry of the log: a promotion, a rollback, or the end of a freeze."""

    problem: str
    version_id: str
    action: Action
    forced: bool
    reason: str
    """Why; for a promotion that was not forced, the result of the challenger test."""
    at: datetime
    actor: str | None = None
    """A person, `schedule` or `rollout:ID`; None: not recorded."""

    @property
    def freezes(self) -> bool:
        """Whether it is a person's decision that no automatic promotion may overrule."""
        return self.forced or self.action == "rollback"


def record(
    engine: Engine,
    problem: str,
    version_id: str,
    action: Action,
    *,
    forced: bool,
    reason: str,
    actor: str | None = None,
) -> Promotion:
    """Append an entry to the log, whose version is the champion from then on.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        version_id: The version's id.
        action: What was done.
        forced: Whether a person overrode the challenger test.
        reason: Why, in words.
        actor: Who did it; None: that is not known.

    Returns:
        The entry, whose time is now.
    """
    promotion = Promotion(problem, version_id, action, forced, reason, datetime.now(UTC), actor)
    with engine.begin() as connection:
        connection.execute(insert(promotions).values(vars(promotion)))
    return promotion


def log(engine: Engine, problem: str) -> list[Promotion]:
    """Return every entry of a problem's log, oldest first.

    Args:
        engine: The metadata database.
        problem: The problem's name.
    """
    columns = [promotions.c[name] for name in Promotion.__dataclass_fields__]
    query = select(*columns).where(promotions.c.problem == problem).order_by(promotions.c.id)
    with engine.connect() as connection:
        return [Promotion(**row) for row in connection.execute(query).mappings()]


def newest_of(engine: Engine, version_id: str, *, before: datetime) -> Promotion | None:
    """Return the newest promotion of a version or rollback to it; None if there is none.

    Args:
        engine: The metadata database.
        version_id: The version's id.
        before: Later entries are left out.
    """
    columns = [promotions.c[name] for name in Promotion.__dataclass_fields__]
    query = (
        select(*columns)
        .where(
            promotions.c.version_id == version_id,
            promotions.c.action != "unfreeze",
            promotions.c.at <= before,
        )
        .order_by(promotions.c.id.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Promotion(**row)


def frozen(engine: Engine, problem: str) -> Promotion | None:
    """Return the rollback or forced promotion that stops automatic promotion; None if there is none.

    It lasts until a person promotes without force, or ends it: `tastemaker models unfreeze`.

    Args:
        engine: The metadata database.
        problem: The problem's name.
    """
    entries = log(engine, problem)
    return entries[-1] if entries and entries[-1].freezes else None


def frozen_said(promotion: Promotion) -> str:
    """Return a description of the freeze that says how to end it."""
    what = "rollback" if promotion.action == "rollback" else "forced promotion"
    return (
        f"automatic promotion is frozen since the {what} of {promotion.at:%Y-%m-%d %H:%M} UTC "
        f"({promotion.reason}), until a version is promoted without force, or: "
        f"tastemaker models unfreeze --reason REASON"
    )


def current(engine: Engine, problem: str) -> str | None:
    """Return the id of a problem's champion; None before the first promotion.

    Args:
        engine: The metadata database.
        problem: The problem's name.
    """
    entries = log(engine, problem)
    return entries[-1].version_id if entries else None


def predecessors(engine: Engine, problem: str) -> list[str]:
    """Return the earlier champions, latest first, each once, without those that were rolled back.

    After the promotion of a, b and c and a rollback to b, only a is left to go back to.

    Args:
        engine: The metadata database.
        problem: The problem's name.
    """
    stack: list[str] = []
    for entry in log(engine, problem):
        if entry.action == "rollback":
            while stack and stack[-1] != entry.version_id:
                stack.pop()
        if not stack or stack[-1] != entry.version_id:
            stack.append(entry.version_id)
    return [each for each in dict.fromkeys(reversed(stack)) if each != stack[-1]]
