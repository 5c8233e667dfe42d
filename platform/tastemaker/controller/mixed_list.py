"""Makes one answer of two variants' answers, by team draft."""

from __future__ import annotations

from collections.abc import Mapping

from tastemaker.api.schemas import Answer
from tastemaker.event_log.records import Item, Stage, seed_of
from tastemaker.experiments.team_draft import team_draft


def mixed_answer(lists: Mapping[str, Answer], k: int, request_id: str) -> tuple[Answer, list[str] | None]:
    """Return the answer, and for each item the variant that placed it.

    A propensity is that of the item's place given both lists, which are drawn first where models draw. The
    model and the version are those of both: the list is neither's, and must not be counted as one's.

    Args:
        lists: The answers, by variant. One alone is returned as it is, and has no teams.
        k: The length of the mixed list.
        request_id: Seeds the draft.
    """
    if len(lists) == 1:
        (answer,) = lists.values()
        return answer, None
    mixed = team_draft(
        {name: [item.item_id for item in one.items] for name, one in lists.items()}, k, seed_of(request_id)
    )
    scores = {item.item_id: item.score for one in lists.values() for item in one.items}
    items = [
        Item(item_id, scores[item_id], propensity)
        for item_id, propensity in zip(mixed.items, mixed.propensities, strict=True)
    ]
    both = list(lists.values())
    fallback = next((one.fallback for one in both if one.fallback is not None), None)
    stage: Stage = next((one.stage for one in both if one.stage != "model"), "model")
    model, version = ("+".join(dict.fromkeys(names)) for names in _names(both))
    return Answer(request_id, model, version, items, fallback, stage), list(mixed.teams)


def _names(answers: list[Answer]) -> tuple[list[str], list[str]]:
    return [one.model for one in answers], [one.version for one in answers]
