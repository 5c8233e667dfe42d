"""What goes wrong between a person and a service: each fault befalls a share of the visits."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from tastemaker.simulator.shop.random_streams import Stream, stream

SKEW_SECONDS = 3_600.0
"""How wrong a wrong clock is, before or behind."""


@dataclass(frozen=True)
class Faults:
    """The shares of visits with each fault, from 0 to 1."""

    dropped: float = 0.0
    """The connection breaks before the reply: the page asks again, events are sent again."""
    repeated: float = 0.0
    """Acknowledged events are sent once more under their ids."""
    late: float = 0.0
    """Events are held back for seconds, and come after those of later visits, newest first."""
    skewed: float = 0.0
    """The client's clock is an hour wrong."""
    orphaned: float = 0.0
    """Events name the user and no request."""
    reshown: float = 0.0
    """The page reports its impressions, twice."""
    slow: float = 0.0
    """Bodies trickle in over a second."""
    traffic_gone: float = 0.0
    """Visits do not come."""
    feedback_gone: float = 0.0
    """Events are not reported."""
    foreign_host: float = 0.0
    """The request for a list names another host."""
    explained: float = 0.0
    """The page asks for the reasons of its list."""


FAULTS = tuple(field.name for field in fields(Faults))
_FIRST_FAULTS = 7
"""Those that are drawn before the direction of the clock: later ones do not change a run without them."""


class FaultRates(NamedTuple):
    """The faults of one visit."""

    dropped: bool
    repeated: bool
    late: bool
    skew: float
    """Seconds that the client's clock is ahead."""
    orphaned: bool
    reshown: bool
    slow: bool
    traffic_gone: bool
    feedback_gone: bool
    foreign_host: bool
    explained: bool


def fault_rates(faults: Faults, seed: int, visit: int) -> FaultRates:
    """Draw the faults of a visit; they are the same for the same arguments.

    Args:
        faults: The share of visits with each fault.
        seed: The seed of the traffic.
        visit: The number of the visit.

    Returns:
        Whether each fault befalls the visit, and how wrong its clock is.
    """
    rng = stream(seed, Stream.LIVE_FAULTS, visit)
    first = rng.random(_FIRST_FAULTS)
    ahead = SKEW_SECONDS if rng.random() < 0.5 else -SKEW_SECONDS
    hit = [*first, *rng.random(len(FAULTS) - _FIRST_FAULTS)]
    befallen = {name: bool(at < getattr(faults, name)) for name, at in zip(FAULTS, hit, strict=True)}
    return FaultRates(skew=ahead if befallen.pop("skewed") else 0.0, **befallen)
