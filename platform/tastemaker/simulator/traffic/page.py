"""What a page of the shop says to the service, and what it makes of the reply. No HTTP here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tastemaker.api.schemas import Answer, FeedbackEvent, ItemUpsert, Receipt, Request, SessionRequest
from tastemaker.errors import TastemakerError
from tastemaker.simulator.shop.catalogue import CATEGORIES, ShopCatalogue
from tastemaker.simulator.traffic.audience import Kind, Reaction, Visit
from tastemaker.simulator.traffic.fault_injection import FaultRates

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(Answer).decode
_receipt = msgspec.json.Decoder(Receipt).decode


def item_id(item: int) -> str:
    """Return the shop's id of an item, given its number."""
    return f"i{item:07d}"


def user_id(visit: Visit) -> str | None:
    """Return the user id in a visit's request; None for an anonymous user."""
    if visit.kind is Kind.ANONYMOUS:
        return None
    return f"bot-{visit.user}" if visit.kind is Kind.BOT else f"u{visit.user:07d}"


def question(visit: Visit, k: int) -> tuple[str, bytes]:
    """Return the path and the body of the request for a visit's list.

    Args:
        visit: The visit; an anonymous one is described by the items that were browsed.
        k: The length of the list.
    """
    user = user_id(visit)
    if user is None:
        return "/session", _encode(SessionRequest([item_id(item) for item in visit.browsed.tolist()], k))
    return "/recommend", _encode(Request(user, k))


def read_answer(body: bytes) -> Answer:
    """Decode the answer to a request for a list. Raises TastemakerError if the body is not such an answer."""
    return _read(_answer, body)


def read_receipt(body: bytes) -> Receipt:
    """Decode the receipt for events. Raises TastemakerError if the body is not a receipt."""
    return _read(_receipt, body)


def item_numbers(answer: Answer, n_items: int) -> NDArray[np.int64]:
    """Return the numbers of an answer's items, int64[k].

    Args:
        answer: The answer to a request for a list.
        n_items: The number of items of the shop.

    Raises:
        TastemakerError: An item is not one of the simulated shop.
    """
    numbers = []
    for item in answer.items:
        number = -1
        with contextlib.suppress(ValueError):
            number = int(item.item_id[1:])
        if not 0 <= number < n_items or item_id(number) != item.item_id:
            raise TastemakerError(
                f"the service recommends {item.item_id!r}, which is not an item of the simulated shop",
                fix="serve a model that learned from the simulated shop of these settings (source.options)",
            )
        numbers.append(number)
    return np.array(numbers, np.int64)


def report(
    run: str,
    visit: Visit,
    how: FaultRates,
    answer: Answer,
    shown: NDArray[np.int64],
    reactions: Sequence[Reaction],
) -> list[FeedbackEvent]:
    """Return the events that the page reports, in the order in which they happened.

    Args:
        run: The name of the run, with which every event id begins.
        visit: The visit, whose number is in the event ids.
        how: The faults of the visit.
        answer: The answer with the list.
        shown: int64[k], the items of the list.
        reactions: The reactions of the user.
    """
    if how.reshown:
        seen = [Reaction(place, item, "impression", 1.0) for place, item in enumerate(shown.tolist())]
        reactions = [*seen, *reactions, *seen]
    user = user_id(visit)
    orphaned = how.orphaned and user is not None
    now = time.time() + how.skew
    return [
        FeedbackEvent(
            event_id=f"{run}-{visit.number}-{number}",
            event_type=one.event_type,
            item_id=item_id(one.item),
            user_id=user,
            request_id=None if orphaned else answer.request_id,
            value=one.value,
            occurred_at=now + number * 1e-6,
            position=None if orphaned else one.position,
        )
        for number, one in enumerate(reactions)
    ]


def upsert(catalogue: ShopCatalogue, item: int, *, available: bool) -> ItemUpsert:
    """Return an item in the form in which the shop sends it to the service.

    Args:
        catalogue: The shop's items.
        item: The item's number.
        available: Whether the item is on offer.
    """
    category = CATEGORIES[catalogue.categories[item]].name
    price = float(catalogue.prices[item])
    return ItemUpsert(item_id(item), catalogue.titles[item], category, price, available)


def _read(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TastemakerError(
            f"the service answered with a message of another version: {error}; it began {body[:80]!r}",
            fix="serve with the version of tastemaker that simulates",
        ) from error
