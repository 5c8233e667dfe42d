"""Reasons, from what was logged and the version that answered."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from unittest.mock import Mock

import httpx
import msgspec
import pytest

from support import served_homes
from support.asgi_apps import not_found
from support.workers import open_worker
from tastemaker.api.schemas import Answer, Explanation, HTTPError, ItemUpsert, Request, SessionRequest
from tastemaker.data.lake import Lake
from tastemaker.event_log import lookup, spool
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Record
from tastemaker.event_log.spool import Spool
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.inference import explain
from tastemaker.serving.inference.explain import GONE, Explainer, explanation
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker
from tastemaker.settings import load_settings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Version]]:
    """A home with versions."""
    home = tmp_path_factory.mktemp("home")
    return home, served_homes.make_home(home, ("item_knn", "popularity", "random"))


@pytest.fixture
def home(made: tuple[Path, dict[str, Version]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASTEMAKER_HOME", str(made[0]))
    return made[0]


@pytest.fixture
def worker(made: tuple[Path, dict[str, Version]], home: Path) -> Iterator[Worker]:
    """Serves item_knn."""
    worker = worker_of(made[1]["item_knn"], home)
    yield worker
    worker.close()


def worker_of(version: Version, home: Path) -> Worker:
    loaded = load_version(version.folder)
    pipeline = Pipeline(loaded, changes=home / "spool")
    return open_worker(version.model, Predictor(loaded, pipeline=pipeline), Spool(home / "spool"))


def served(worker: Worker) -> Predictor:
    predictor = worker.router.engines[0].predictor
    assert predictor is not None
    return predictor


def logged(worker: Worker, answer: Answer) -> Answer:
    """Wait until the record is on disk."""
    deadline = time.monotonic() + 20
    while worker.spool.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while lookup.find(answer.request_id, load_settings()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def explained(worker: Worker, answer: Answer) -> Explanation:
    return asyncio.run(worker.explain(logged(worker, answer).request_id))


def test_what_the_user_had_and_what_goes_with_it(worker: Worker) -> None:
    answer = asyncio.run(worker.recommend(Request("user-01", k=5)))
    found = explained(worker, answer)
    assert (found.request_id, found.model, found.version) == (answer.request_id, "item_knn", answer.version)
    assert [one.item_id for one in found.items] == [item.item_id for item in answer.items]
    assert found.features is None
    folder = served(worker).pipeline.folder
    assert folder is not None
    snapshot = load_version(folder).snapshot
    mine = snapshot.history[snapshot.user_ids.lookup(["user-01"])]
    had = dict(zip(snapshot.item_ids.decode(mine.items), mine.counts.tolist(), strict=True))
    for one in found.items:
        again = [reason for reason in one.reasons if reason.startswith("the user had it before")]
        assert len(again) == (one.item_id in had)
        if again:
            assert f": {had[one.item_id]} time" in again[0]
        (first, *_) = [reason for reason in one.reasons if reason.startswith("it goes with Item ")]
        (item_id,) = [each for each in had if f"({each})" in first]
        assert item_id != one.item_id
        assert first.endswith(", which the user had")


def test_the_reasons_of_a_session_name_its_items(worker: Worker) -> None:
    found = explained(worker, asyncio.run(worker.session(SessionRequest(["item-05"], k=3))))
    for one in found.items:
        if one.item_id != "item-05":
            assert one.reasons[0] == "it goes with Item 5 (item-05), which was just looked at"


def test_what_is_new_and_what_fills_the_list(worker: Worker, home: Path) -> None:
    asyncio.run(worker.upsert_items([ItemUpsert("fresh"), ItemUpsert("fresher")]))
    predictor = served(worker)
    while not predictor.pipeline.has_new:
        time.sleep(0.01)
    answer = asyncio.run(worker.recommend(Request("user-01")))
    reasons = explained(worker, answer).items[-1].reasons
    assert reasons == [
        "it is new and unknown to the model; the last place is reserved for new items, "
        "drawn with probability 0.5"
    ]
    asyncio.run(worker.upsert_items([ItemUpsert(each, available=False) for each in ("fresh", "fresher")]))
    predictor._recommender.recommend = Mock(side_effect=RuntimeError)  # type: ignore[method-assign]
    predictor.pipeline._retriever = predictor._recommender
    answer = asyncio.run(worker.recommend(Request("user-01", k=2)))
    for one in explained(worker, answer).items:
        assert one.reasons[0] == "it is popular, as the model failed"
        assert any(reason.endswith("among the most popular items") for reason in one.reasons)


def test_impersonal_and_random_models_claim_nothing_personal(
    made: tuple[Path, dict[str, Version]], home: Path
) -> None:
    for model in ("popularity", "random"):
        worker = worker_of(made[1][model], home)
        found = explained(worker, asyncio.run(worker.recommend(Request("user-01", k=5))))
        worker.close()
        reasons = [reason for one in found.items for reason in one.reasons]
        assert not any("the user" in reason for reason in reasons)
        assert all(one.reasons for one in found.items)
        assert any(reason.startswith("the model chooses randomly") for reason in reasons) == (
            model == "random"
        )


def test_an_answer_can_be_explained_at_once(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the log waits for more records before it writes."""
    monkeypatch.setattr(spool, "_PAUSE_SECONDS", 0.3)

    async def answered_and_explained() -> tuple[str, str]:
        answer = await worker.recommend(Request("user-01", k=5))
        return answer.request_id, (await worker.explain(answer.request_id)).request_id

    answer, explained = asyncio.run(answered_and_explained())
    assert explained == answer


def test_an_answer_can_be_explained_while_the_log_takes_no_more(worker: Worker) -> None:
    answer = logged(worker, asyncio.run(worker.recommend(Request("user-01", k=5))))
    worker.spool.close()
    assert asyncio.run(worker.explain(answer.request_id)).request_id == answer.request_id


def test_an_unknown_id_is_not_an_answer(worker: Worker) -> None:
    for unknown in ("no-such-id", "", "../../etc/passwd", "'; DROP TABLE records; --", "ü" * 200):
        with pytest.raises(HTTPError) as refused:
            asyncio.run(worker.explain(unknown))
        assert refused.value.problem.status == HTTPStatus.NOT_FOUND
        assert refused.value.problem.value == unknown


def test_another_version_explains_its_own_and_one_that_is_gone_says_so(
    made: tuple[Path, dict[str, Version]], worker: Worker, home: Path
) -> None:
    other = worker_of(made[1]["popularity"], home)
    answer = logged(other, asyncio.run(other.recommend(Request("user-01", k=2))))
    other.close()
    explainer, served = Explainer(), {made[1]["item_knn"].id: made[1]["item_knn"].folder}
    drain(home / "spool", Lake(home / "lake"))
    found = explainer.explain(answer.request_id, served)
    assert found.model == "popularity"
    assert found.items[0].reasons == ["number 1 among the most popular items"]
    shutil.move(made[1]["popularity"].folder, home / "aside")
    gone = Explainer().explain(answer.request_id, served)
    assert [one.reasons for one in gone.items] == [[GONE], [GONE]]
    shutil.move(home / "aside", made[1]["popularity"].folder)


def test_a_record_of_nothing(made: tuple[Path, dict[str, Version]]) -> None:
    loaded = load_version(made[1]["item_knn"].folder)
    version = loaded.manifest.version
    empty = Record("0" * 32, 0.0, "unknown", 3, "item_knn", version, [], 0.1)
    assert explanation(empty, loaded).items == []


def test_a_service_that_cant_read_further_says_so(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Mock(side_effect=ImportError("no", name="pyarrow"))
    monkeypatch.setattr(explain, "find", missing)
    with pytest.raises(HTTPError, match="needs pyarrow, which is not installed") as refused:
        asyncio.run(worker.explain("0" * 32))
    assert refused.value.problem.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_over_http(worker: Worker) -> None:
    """Every path that changes, compares or explains, as a caller meets it."""

    async def talk() -> None:
        transport = httpx.ASGITransport(Gateway(not_found, SERVICE_ROUTES, ServingProcess(worker)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.post("/items", json={"items": [{"item_id": "a/ü", "title": "Item 7"}]})
            assert (response.status_code, response.json()) == (200, {"accepted": 1, "duplicates": 0})
            response = await client.post(
                "/users", json={"users": [{"user_id": "u", "blocked_items": ["item-00"]}]}
            )
            assert response.status_code == 200
            like = await client.get("/similar/a%2F%C3%BC?k=1")
            assert [item["item_id"] for item in like.json()["items"]] == ["item-07"]
            assert len((await client.get("/similar/item-00")).json()["items"]) == 10
            answer = (await client.post("/recommend", json={"user_id": "u", "k": 2})).json()
            assert "item-00" not in [item["item_id"] for item in answer["items"]]
            logged(worker, msgspec.convert(answer, Answer))
            why = (await client.get(f"/explain/{answer['request_id']}")).json()
            assert [one["item_id"] for one in why["items"]] == [item["item_id"] for item in answer["items"]]
            for path, status in {
                "/similar/unknown-item": 404,
                "/similar/item-00?k=0": 400,
                "/similar/item-00?k=two": 400,
                "/similar/item-00?n=2": 400,
                "/similar/item-00?k=1&k=2": 400,
                "/similar/a%00b": 400,
                f"/similar/{'x' * 201}": 400,
                "/explain/unknown": 404,
            }.items():
                refused = await client.get(path)
                assert refused.status_code == status, path
                assert refused.headers["content-type"] == "application/problem+json"
            wrong = await client.post("/items", json={"items": [{"item_id": "x", "price": -1}]})
            assert (wrong.status_code, wrong.json()["field"]) == (400, "items[0].price")

    asyncio.run(talk())
