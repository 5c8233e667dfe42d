"""All faults of one simulation, while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from tastemaker.client import Client
from tastemaker.settings import Settings
from tastemaker.simulator.faults.produced import ProducedFaults
from tastemaker.simulator.faults.switch import switched_on
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.traffic import NeverComes
from tastemaker.workflows.faults import beaten_champion, overdue_erasure, overdue_rollout
from tastemaker.workflows.faults.faulty_version import bad_version
from tastemaker.workflows.faults.feature_values import ALTERED, altered
from tastemaker.workflows.faults.foreign_model import silent, slow
from tastemaker.workflows.faults.hung_processes import WANTED, hanging
from tastemaker.workflows.faults.locked_stores import features_locked, log_locked, metadata_locked
from tastemaker.workflows.faults.lost_units import never_comes
from tastemaker.workflows.faults.withdrawn_items import offer_again, withdrawn
from tastemaker.workflows.workspace import Workspace

_Fault = Callable[[Settings], AbstractContextManager[None]]
LOCKED: Final[dict[str, _Fault]] = {
    "database_locked": metadata_locked,
    "features_locked": features_locked,
    "log_locked": log_locked,
}
LOST: Final = "variant_lost"
VERSIONS: Final = ("bad_version", "no_model")
ITEMS: Final = ("items_scarce", "items_withdrawn")
ENTERED: Final[dict[str, _Fault]] = {
    "champion_beaten": beaten_champion.beaten,
    "erasure_forgotten": overdue_erasure.overdue,
    "foreign_silent": silent,
    "foreign_slow": slow,
    "rollout_forgotten": overdue_rollout.overdue,
}


@contextmanager
def in_force(
    produced: ProducedFaults, settings: Settings, url: str, shop: Shop, key: str | None
) -> Iterator[NeverComes]:
    """Produce all faults but those of the traffic within a block; yield which users never come.

    Items that a simulation withdrew before it was killed are offered again first.

    Args:
        produced: The faults.
        settings: Of the home folder.
        url: The service's address.
        shop: The shop whose users visit.
        key: The API key; None where the service needs none.

    Raises:
        TastemakerError: A fault can't be produced here.
    """
    others = produced.others
    with ExitStack() as stack:
        client = stack.enter_context(Client(url, key=key))
        offer_again(settings.home, client)
        lost = never_comes(settings, others[LOST]) if LOST in others else _none_is_lost
        if bad := {name: others[name] for name in VERSIONS if name in others}:
            switch = switched_on(settings.home, {**produced.model, **bad})
            stack.enter_context(bad_version(Workspace.open(), switch))
        else:
            stack.enter_context(switched_on(settings.home, produced.model))
        for name in others:
            if name in ALTERED:
                stack.enter_context(altered(name, settings, others[name]))
            elif name in ITEMS:
                stack.enter_context(withdrawn(settings.home, client, shop, others[name]))
            elif name in ENTERED:
                stack.enter_context(ENTERED[name](settings))
        for name in others:  # last: what hangs or is locked takes no more changes
            if name in LOCKED:
                stack.enter_context(LOCKED[name](settings))
            elif name in WANTED:
                stack.enter_context(hanging(name, settings, url))
        yield lost


def _none_is_lost(user_id: str) -> bool:
    return False
