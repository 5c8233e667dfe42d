"""Named faults, sorted by where they are produced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

from tastemaker.errors import TastemakerError
from tastemaker.simulator.faults.catalogue import FAULTS
from tastemaker.simulator.shop.shifts import Shift, ShiftKind
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.fault_injection import Faults

SHIFTS: Mapping[str, ShiftKind] = {
    "audience_shift": "audience",
    "catalogue_shift": "catalogue",
    "price_shift": "price",
    "taste_shift": "taste",
}


@dataclass(frozen=True)
class ProducedFaults:
    """Faults by where they are produced: name -> share."""

    traffic: Faults
    model: Mapping[str, float]
    shifts: Mapping[str, float]
    others: Mapping[str, float]
    """Those that `workflows.faults` produces."""

    def shop(self, shop: Shop) -> Shop:
        """Return a shop whose shifts begin on its first live day; the shop itself without any."""
        if not self.shifts:
            return shop
        begun = [
            Shift(kind=SHIFTS[name], day=shop.config.n_days, size=size) for name, size in self.shifts.items()
        ]
        return Shop(shop.config.model_copy(update={"shifts": (*shop.config.shifts, *begun)}))


def produce(faults: Mapping[str, float]) -> ProducedFaults:
    """Sort named faults by where they are produced.

    Args:
        faults: Name -> share, of those of the traffic and those of the catalogue that need no restart.
    """
    traffic = {field.name for field in fields(Faults)}
    shares = {name: share for name, share in faults.items() if name in traffic}
    model = {
        name: share for name, share in faults.items() if name in FAULTS and FAULTS[name].place == "model"
    }
    if "errors" in model:
        shares["explained"] = model["errors"]
    shifts = {name: share for name, share in faults.items() if name in SHIFTS}
    known = {*shares, *model, *shifts}
    others = {name: share for name, share in faults.items() if name not in known}
    return ProducedFaults(Faults(**shares), model, shifts, others)


def require_faulty(url: str, served: Collection[str], produced: ProducedFaults) -> None:
    """Raise TastemakerError if faults of a model are wanted of a service that serves other models.

    Args:
        url: The address of the service, for the message.
        served: The models that answer there.
        produced: The faults; those of a model or of a version count.

    Raises:
        TastemakerError: Such a fault is wanted, and `faulty` is not among the models.
    """
    wanted = [*produced.model, *(name for name in produced.others if FAULTS[name].place == "version")]
    if wanted and "faulty" not in served:
        models = ", ".join(sorted(served)) or "no model of ours"
        raise TastemakerError(
            f"{url} serves {models}, which does not fail on demand: {', '.join(wanted)} can't be produced",
            fix="PYTHONPATH=$(tastemaker simulate --prepare-faults) tastemaker serve faulty",
        )
