"""A small shop's versions, asked for lists while its items and users change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest

from support import served_homes
from support.workers import open_worker
from tastemaker.api.schemas import Answer, HTTPError, ItemUpsert, Request, UserUpsert
from tastemaker.event_log.records import ItemRecord, Kind, Record, UserRecord
from tastemaker.event_log.spool import Spool, read
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.runtime.worker import Worker
from tastemaker.serving_settings import RetrievalSettings

ALL = {f"item-{n:02d}" for n in range(served_homes.N_ITEMS)}
Open = Callable[..., Predictor]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedVersion]:
    """One of each model."""
    home = tmp_path_factory.mktemp("home")
    made = served_homes.make_home(home, ("popularity", "bpr", "random"))
    return {name: load_version(version.folder) for name, version in made.items()}


@pytest.fixture
def opened(versions: dict[str, LoadedVersion], tmp_path: Path) -> Iterator[Open]:
    """A predictor of a model over the changes in the test's folder."""
    made: list[Predictor] = []

    def open_(model: str = "popularity", **settings: Any) -> Predictor:
        loaded = versions[model]
        made.append(Predictor(loaded, pipeline=Pipeline(loaded, RetrievalSettings(**settings), tmp_path)))
        return made[-1]

    yield open_
    for one in made:
        one.pipeline.close()


@pytest.fixture
def worker(opened: Open, tmp_path: Path) -> Iterator[Worker]:
    worker = open_worker("popularity", opened(), Spool(tmp_path))
    yield worker
    worker.close()


def ask(
    predictor: Predictor,
    user_id: str = "user-01",
    k: int = 10,
    seed: int = 1,
    kind: Kind = "recommend",
    session: Sequence[str] | None = None,
    **more: Any,
) -> Answer:
    asked = InferenceRequest(
        Request(user_id, k, **more), f"{seed:016x}" + 16 * "0", time.time(), kind, session
    )
    return predictor.recommend([asked])[0].answer


def ids(answer: Answer) -> list[str]:
    return [item.item_id for item in answer.items]


def wait_for_new_items(predictor: Predictor) -> None:
    """Wait until the predictor knows the new items that were put."""
    deadline = time.monotonic() + 20
    while not predictor.pipeline.has_new:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_sold_out_disappears_at_once_and_comes_back(worker: Worker, opened: Open) -> None:
    first = ids(asyncio.run(worker.recommend(Request("user-01"))))[0]
    for available in (False, True):
        receipt = asyncio.run(worker.upsert_items([ItemUpsert(first, available=available)]))
        assert receipt.accepted == 1
        shown = ids(asyncio.run(worker.recommend(Request("user-01", k=1_000))))
        assert (first in shown) is available
        assert len(shown) == len(ALL) - (not available)


def test_a_new_item_gets_the_last_place_at_its_propensity(worker: Worker, opened: Open) -> None:
    predictor = opened()
    before = ask(predictor).items
    asyncio.run(worker.upsert_items([ItemUpsert("fresh", "Item 1", "odd"), ItemUpsert("item-03", "Item 3")]))
    predictor.pipeline.overlay.refresh(at_once=True)
    wait_for_new_items(predictor)
    after = ask(predictor).items
    assert [item.item_id for item in after] == [item.item_id for item in before[:9]] + ["fresh"]
    assert after[-1].propensity == 1.0
    assert after[-1].score == before[-1].score
    assert "fresh" not in ids(ask(predictor, k=4))
    assert "fresh" not in ids(ask(predictor, exclude=["fresh"]))
    assert "fresh" not in ids(ask(predictor, candidates=sorted(ALL)))
    assert ids(ask(predictor, k=2, kind="rank", candidates=["fresh", "item-05"])) == ["item-05", "fresh"]
    assert ids(ask(predictor, k=1_000))[-1] == "fresh"


def test_a_new_item_that_is_taken_back_is_not_shown_again(worker: Worker, opened: Open) -> None:
    predictor = opened()
    asyncio.run(worker.upsert_items([ItemUpsert("fresh"), ItemUpsert("fresher")]))
    predictor.pipeline.overlay.refresh(at_once=True)
    wait_for_new_items(predictor)
    asyncio.run(worker.upsert_items([ItemUpsert("fresh", available=False)]))
    predictor.pipeline.overlay.refresh(at_once=True)
    for seed in range(50):
        last = ask(predictor, seed=seed).items[-1]
        assert last.item_id == "fresher"


def test_new_items_can_be_left_out(worker: Worker, opened: Open) -> None:
    asyncio.run(worker.upsert_items([ItemUpsert("fresh")]))
    predictor = opened(new_items=False)
    assert not predictor.pipeline.has_new
    assert "fresh" not in ids(ask(predictor))


def test_a_new_item_that_the_problem_blocks_is_not_shown(
    worker: Worker, versions: dict[str, LoadedVersion], tmp_path: Path
) -> None:
    loaded = versions["popularity"]
    rules = {"blocked_items": ["fresh"], "blocked_categories": ["vouchers"]}
    spec = loaded.manifest.problem_spec | {"candidates": rules}
    ruled = replace(loaded, manifest=msgspec.structs.replace(loaded.manifest, problem_spec=spec))
    predictor = Predictor(ruled, pipeline=Pipeline(ruled, RetrievalSettings(), tmp_path))
    asyncio.run(worker.upsert_items([ItemUpsert("fresh"), ItemUpsert("gift", category="vouchers")]))
    predictor.pipeline.overlay.refresh(at_once=True)
    assert {"fresh", "gift"} == predictor.pipeline.overlay.new.keys()
    asyncio.run(worker.upsert_items([ItemUpsert("fresher", category="lamps")]))
    predictor.pipeline.overlay.refresh(at_once=True)
    wait_for_new_items(predictor)
    assert {ask(predictor, seed=seed).items[-1].item_id for seed in range(50)} == {"fresher"}
    shown = ids(ask(predictor, k=1_000))
    assert "fresher" in shown
    assert not {"fresh", "gift"} & set(shown)
    predictor.pipeline.close()


def test_what_a_user_blocks_only_they_miss(worker: Worker, opened: Open) -> None:
    predictor = opened()
    best = ids(ask(predictor))[:3]
    asyncio.run(worker.upsert_users([UserUpsert("user-01", "NL", [*best, "unknown-item"])]))
    predictor.pipeline.overlay.refresh(at_once=True)
    assert not set(best) & set(ids(ask(predictor, k=1_000, exclude=["item-20"])))
    assert ids(ask(predictor, "user-02"))[:3] == best
    both = [
        InferenceRequest(Request(user), f"{n:032x}", time.time())
        for n, user in enumerate(("user-02", "user-01"))
    ]
    second, first = (served.answer for served in predictor.recommend(both))
    assert ids(second)[:3] == best
    assert not set(best) & set(ids(first))


def test_changes_survive_a_restart_and_are_logged(worker: Worker, opened: Open, tmp_path: Path) -> None:
    asyncio.run(worker.upsert_items([ItemUpsert("fresh", "Lamp", "lights", 2.5)]))
    asyncio.run(worker.upsert_users([UserUpsert("user-01", "NL", ["item-00"])]))
    predictor = opened()
    assert ids(ask(predictor))[-1] == "fresh"
    assert "item-00" not in ids(ask(predictor, k=1_000))
    pending = read(tmp_path / "requests.db", 10)
    assert pending is not None
    (item,), (user,) = pending.of(ItemRecord), pending.of(UserRecord)
    assert (item.item_id, item.title, item.category, item.price) == ("fresh", "Lamp", "lights", 2.5)
    assert (user.user_id, user.country, user.blocked_items) == ("user-01", "NL", ["item-00"])


def test_similar_items(worker: Worker, versions: dict[str, LoadedVersion]) -> None:
    answer = worker.similar("item-00", 5)
    neighbours = versions["popularity"].snapshot.neighbours
    assert neighbours is not None
    assert [item.item_id for item in answer.items] == [f"item-{n:02d}" for n in neighbours.items[0][:5]]
    assert (answer.model, answer.item_id) == ("popularity", "item-00")
    asyncio.run(worker.upsert_items([ItemUpsert(answer.items[0].item_id, available=False)]))
    assert worker.similar("item-00", 4).items == answer.items[1:]


def test_items_similar_to_a_new_one_are_found_by_content(worker: Worker) -> None:
    with pytest.raises(HTTPError, match="'fresh'") as refused:
        worker.similar("fresh", 3)
    assert refused.value.problem.status == HTTPStatus.NOT_FOUND
    asyncio.run(worker.upsert_items([ItemUpsert("fresh", "Item 7", "odd", 8.0)]))
    assert worker.similar("fresh", 3).items[0].item_id == "item-07"
    asyncio.run(worker.upsert_items([ItemUpsert("blank")]))
    assert worker.similar("blank", 3).items == []


def test_a_session_gets_neighbours_of_its_items(opened: Open, versions: dict[str, LoadedVersion]) -> None:
    """Popularity doesn't decide, so neighbours do; the last item counts most. Unknown items count nothing."""
    neighbours = versions["popularity"].snapshot.neighbours
    assert neighbours is not None
    predictor = opened()
    shown = ids(ask(predictor, "", k=3, session=["unknown-item", "item-24"]))
    assert shown == [f"item-{n:02d}" for n in neighbours.items[24][:3]]
    assert ids(ask(predictor, "", session=["unknown-item"])) == ids(ask(predictor, "unknown"))
    assert len(ids(ask(predictor, "", k=1_000, session=["item-24"]))) == len(ALL)
    assert ids(ask(opened("bpr"), "", session=["item-24"])) != ids(ask(opened("bpr"), "unknown"))


@pytest.mark.parametrize("model", ["bpr", "popularity"])
def test_variety_by_vectors_or_content(opened: Open, versions: dict[str, LoadedVersion], model: str) -> None:
    plain, varied = ask(opened(model), k=6), ask(opened(model, diversity=0.9), k=6)
    assert plain == ask(opened(model, diversity=0.0), k=6)
    assert ids(plain)[0] == ids(varied)[0]
    loaded = versions[model]

    def likeness(answer: Answer) -> float:
        items = loaded.snapshot.item_ids.lookup(ids(answer))
        if model == "bpr":
            unit = loaded.model.item_vectors[items]
            unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
            return float((unit @ unit.T).sum())
        assert loaded.snapshot.content is not None
        return float(loaded.snapshot.content.likeness(items).sum())

    assert likeness(varied) < likeness(plain)
    scores = {item.item_id: item.score for item in ask(opened(model), k=1_000).items}
    for item in varied.items:
        assert item.score == pytest.approx(scores[item.item_id], rel=1e-4)


def test_a_request_may_ask_for_its_own_variety_and_the_log_says_so(worker: Worker, opened: Open) -> None:
    """Batched with others that do not: each gets its own, and the log says which list was reordered."""
    predictor = opened("bpr")
    wanted = [None, 0.9, 0.0, 0.9, None]
    asks = [
        InferenceRequest(Request("user-01", 6, diversity=strength), f"{n:032x}", time.time())
        for n, strength in enumerate(wanted)
    ]
    served = predictor.recommend(asks)
    plain, varied = ids(ask(opened("bpr"), k=6)), ids(ask(opened("bpr", diversity=0.9), k=6))
    assert [ids(one.answer) for one in served] == [plain, varied, plain, varied, plain]
    assert [one.diversity for one in served] == [None, 0.9, None, 0.9, None]
    listed = predictor.pipeline.mmr_lambda(Request("user-01", candidates=["item-00"]))
    assert listed == opened("bpr", diversity=0.9).pipeline.mmr_lambda(Request("u", candidates=["x"])) == 0.0


def test_variety_is_logged(worker: Worker, tmp_path: Path) -> None:
    asyncio.run(worker.recommend(Request("user-01", 6, diversity=0.5)))
    worker.spool.close()
    pending = read(tmp_path / "requests.db", 10)
    assert pending is not None
    (record,) = pending.of(Record)
    assert record.diversity == 0.5


def test_variety_never_falsifies_propensities(opened: Open) -> None:
    assert ask(opened("random"), diversity=0.9) == ask(opened("random"))
    assert ask(opened("random", diversity=0.9)) == ask(opened("random"))


def test_a_model_that_fails_still_gives_nothing_that_is_sold_out(
    versions: dict[str, LoadedVersion], worker: Worker, tmp_path: Path
) -> None:
    broken = Mock(wraps=versions["popularity"].model, capabilities=versions["popularity"].model.capabilities)
    broken.recommend = Mock(side_effect=RuntimeError)
    loaded = replace(versions["popularity"], model=broken)
    predictor = Predictor(loaded, pipeline=Pipeline(loaded, changes=tmp_path))
    best = ids(ask(predictor))[0]
    asyncio.run(worker.upsert_items([ItemUpsert(best, available=False)]))
    predictor.pipeline.overlay.refresh(at_once=True)
    answer = ask(predictor)
    assert answer.stage == "popular"
    assert best not in ids(answer)
    predictor.pipeline.close()
