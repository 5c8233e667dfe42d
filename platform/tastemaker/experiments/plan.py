"""The plan in force: which experiments run, on which units, and which service answers for each variant.

It is a file that processes read without a database. Whoever has it can compute every assignment again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

BUCKETS = 1_000_000
"""The buckets of each coordinate. Shares and ranges are whole numbers of them: one bucket is 1 ppm."""

Unit = Literal["user", "device", "session", "request"]
"""What is assigned: a user, a caller's device, a session or a single request."""
Kind = Literal["ab", "aa", "interleaving", "bandit", "shadow", "rollout"]
"""What an experiment does: compares variants, compares two that are alike, mixes two lists in one, moves
units to the better variant, copies requests to variants whose answers no user sees, or brings a version into
production under guardrails alone."""
Operator = Literal["in", "not_in", "at_least", "at_most"]


def percentage(buckets: int) -> str:
    """Return buckets as a percentage.

    >>> percentage(500_000), percentage(333_333)
    ('50 %', '33.3333 %')
    """
    return f"{100 * buckets / BUCKETS:.4f}".rstrip("0").rstrip(".") + " %"


def in_proportion(shares: Mapping[str, float]) -> dict[str, int]:
    """Return buckets in the proportion of shares that don't add up to 1, each rounded down.

    Args:
        shares: Shares above 0 by name, in any unit.

    Returns:
        Buckets by name. Fewer than there are shares are missing to all.

    >>> in_proportion({"a": 0.6, "b": 0.6})
    {'a': 500000, 'b': 500000}
    """
    total = sum(shares.values())
    return {name: int(BUCKETS * share / total + 1e-6) for name, share in shares.items()}


class PinnedService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pinned prediction service: one version of one model at one address."""

    name: str
    model: str
    version: str
    address: str
    """`unix:/path/to/socket` on this machine, or `http://host:port`."""


class Namespace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A surface whose experiments share their units: their claims of its buckets do not overlap."""

    name: str
    unit: Unit
    salt: str


class Holdout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units that no experiment enrols, to measure all experiments together."""

    name: str
    unit: Unit
    salt: str
    share: int
    """The buckets from 0 to this one, excluded."""
    namespaces: tuple[str, ...] = ()
    """The namespaces that it covers; all if empty."""


class TargetingRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition on a fact that is known before the assignment. A unit without the fact does not meet it."""

    fact: str
    operator: Operator
    values: tuple[str | float | bool, ...]
    """Of `at_least` and `at_most`: one number."""


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variant and its buckets [start, end) of the experiment's variant coordinate."""

    name: str
    start: int
    end: int
    service: str | None = None
    """The name of the service that answers; None where the shop's own code acts on `value`."""
    value: Any = None
    """What the flag's caller gets: any JSON value."""


class EpochDraw(NamedTuple):
    """The units that one epoch enrolls, and how it divides them."""

    epoch: int
    first: int
    """The first of its buckets of the enrolment coordinate."""
    end: int
    """The bucket after its last one."""
    variants: dict[str, tuple[int, int]]
    """Name -> buckets [start, end) of this epoch's variant coordinate."""


class EarlierEpoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The units that an earlier epoch of a bandit enrolled: they keep the variants that it gave them."""

    epoch: int
    enrolment: int
    """The buckets of the enrolment coordinate from the end of the epoch before to this one, excluded."""
    variants: dict[str, tuple[int, int]]
    """Name -> buckets [start, end) of this epoch's variant coordinate."""


class PlannedExperiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment that runs or is held. The ranges of its variants need not fill all buckets: a unit
    between them gets the default."""

    name: str
    kind: Kind
    namespace: str
    salt: str
    epoch: int
    """From 0. A changed ratio or a repaired variant is a new epoch, whose assignments are drawn again, except
    those of `earlier`."""
    claim: tuple[tuple[int, int], ...]
    """Ranges [start, end) of the namespace's buckets, ascending."""
    enrolment: int
    """The buckets of the enrolment coordinate from 0 to this one, excluded: raising it moves no unit from one
    variant to another."""
    variants: tuple[Variant, ...]
    control: str
    """The name of the variant that the others are compared with."""
    earlier: tuple[EarlierEpoch, ...] = ()
    """Of a bandit: the epochs before, whose units the present one leaves as they are, the oldest first."""
    targeting: tuple[TargetingRule, ...] = ()
    forced: dict[str, str] = {}
    """Units that a person forced into a variant, to look at it: logged, not analysed. By their `forced_key`:
    a plan has no ids."""
    enrolled: str | None = None
    """While the experiment is held: the file of the units that are in it already, relative to the plan."""
    data_diversion: bool = False
    """Whether a version learns online from its own lists only, not from those of the other variants."""
    killed: bool = False
    """Whether all its units get the default at once."""

    @property
    def draws(self) -> list[EpochDraw]:
        """The epochs that units are in, the oldest first. While it is held, its file says who is enrolled."""
        found: list[EpochDraw] = []
        first = 0
        for one in self.earlier:
            found.append(EpochDraw(one.epoch, first, one.enrolment, one.variants))
            first = one.enrolment
        end = self.enrolment if self.enrolled is None else BUCKETS
        return [
            *found,
            EpochDraw(self.epoch, first, end, {one.name: (one.start, one.end) for one in self.variants}),
        ]


class ControlPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plan in force."""

    revision: int
    """Rises with every change."""
    made_at: float
    """Seconds since 1970 UTC."""
    default: str | None = None
    """The name of the service for users without an experiment; None where no service is controlled."""
    services: tuple[PinnedService, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    holdouts: tuple[Holdout, ...] = ()
    experiments: tuple[PlannedExperiment, ...] = ()
