"""A process with two engines: each user gets one version, and everything works for both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from support import served_homes
from support.asgi_apps import not_found
from tastemaker.api.schemas import Answer, ItemUpsert, RankRequest, Request, SessionRequest
from tastemaker.event_log import spool_file
from tastemaker.event_log.records import Assignment, Record
from tastemaker.event_log.spool import read
from tastemaker.online_learning.checkpoints import EMPTY, Checkpoints, LogPosition
from tastemaker.registry import Version, deployment
from tastemaker.registry.deployment import Followed
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.serving.runtime.assembly import WorkerPlace, assemble, open_engine, open_parts
from tastemaker.serving.runtime.router import Routed
from tastemaker.serving.runtime.served_engine import ServedEngine
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker
from tastemaker.settings import LearningSettings, Settings

WAIT_SECONDS = 30
CONTROL = Assignment("colours", 3, "control", 0.75)
TREATMENT = Assignment("colours", 3, "treatment", 0.25)
FORCED = Assignment("colours", 3, "treatment")


class ByUser:
    """Ids that end with an odd digit get the second engine; a forced assignment has no probability."""

    def __init__(self, control: ServedEngine, treatment: ServedEngine) -> None:
        self.engines = (control, treatment)

    def engine_for(self, request: Request) -> Routed:
        if request.user_id == "forced":
            return Routed(self.engines[1], FORCED)
        treated = request.user_id[-1] in "13579"
        return Routed(self.engines[treated], TREATMENT if treated else CONTROL)


class Served(NamedTuple):
    """A worker of two engines, each with a version of thompson."""

    worker: Worker
    settings: Settings
    versions: tuple[Version, Version]

    @property
    def engines(self) -> tuple[ServedEngine, ...]:
        return tuple(self.worker.router.engines)

    def predictor(self, number: int) -> Predictor:
        predictor = self.engines[number].predictor
        assert predictor is not None
        return predictor

    def recommend(self, user_id: str) -> Answer:
        return asyncio.run(self.worker.recommend(Request(user_id, 5)))

    def get(self, path: str) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(Gateway(not_found, SERVICE_ROUTES, ServingProcess(self.worker)))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get(path)

        return asyncio.run(send())

    def values(self, name: str) -> dict[str, float]:
        """A metric's values that are not 0, by version or else by model."""
        return {
            sample.labels.get("version") or sample.labels.get("model", ""): sample.value
            for family in parsed(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == f"tastemaker_{name}" and sample.value
        }

    def logged(self) -> dict[str, Record]:
        """Close the worker and read its log."""
        self.worker.close()
        pending = read(self.settings.spool / spool_file.FILE_NAME, 100)
        assert pending is not None
        return {record.request_id: record for record in pending.of(Record)}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    monkeypatch.setenv("TASTEMAKER_HOME", str(home))
    settings = Settings(home=home, learning=LearningSettings(poll_seconds=1_000))
    first, second = (served_homes.make_home(home, ("thompson",))["thompson"] for _ in range(2))
    parts = open_parts(settings, WorkerPlace(), {})
    control = open_engine(parts, "thompson", [first.folder], pinned=True)
    file = Followed(tmp_path / "treatment.json", "thompson", None)
    treatment = open_engine(parts, "thompson", [second.folder], follows=file)
    worker = assemble(parts, ByUser(control, treatment))
    yield Served(worker, settings, (first, second))
    worker.close()


def test_each_user_gets_one_version_and_the_log_says_why(served: Served) -> None:
    first, second = (version.id for version in served.versions)
    expected = {
        "user-02": first, "user-03": second, "unknown-4": first, "unknown-5": second, "forced": second
    }  # fmt: skip
    given = {user: served.recommend(user) for user in expected}
    assert {user: answer.version for user, answer in given.items()} == expected
    batch = asyncio.run(served.worker.recommend_batch([Request(user, 2) for user in expected]))
    assert [answer.version for answer in batch] == list(expected.values())
    rank = asyncio.run(served.worker.rank(RankRequest("user-03", ["item-01"])))
    session = asyncio.run(served.worker.session(SessionRequest(["item-01"], session_id="s1")))
    assert (rank.version, session.version) == (second, second)
    records = served.logged()
    assert len(records) == 2 * len(expected) + 2
    for answer in [*given.values(), *batch, rank, session]:
        record = records[answer.request_id]
        assert record.version == answer.version
        by_version = CONTROL if answer.version == first else TREATMENT
        assert record.assignment == (FORCED if record.user_id == "forced" else by_version)


def test_a_version_that_fails_keeps_its_users_and_their_assignment(served: Served) -> None:
    model = served.predictor(1)._recommender
    broken = Mock(wraps=model, capabilities=model.capabilities)
    broken.recommend = Mock(side_effect=RuntimeError("no"))
    served.engines[1].batcher.swap(served.predictor(1).with_model(broken, "broken"))
    assert served.recommend("user-02").fallback is None
    answer = served.recommend("user-03")
    assert (answer.fallback, answer.version) == ("model_error", served.versions[1].id)
    ready = served.get("/readyz").json()
    words = f"model: thompson {served.versions[1].id}: the model fails; lists are answered without it"
    assert ready["degraded"] == [words]
    assert [engine["version"] for engine in ready["engines"]] == [one.id for one in served.versions]
    assert [engine["pinned"] for engine in ready["engines"]] == [True, False]
    assert served.logged()[answer.request_id].assignment == TREATMENT


@pytest.mark.slow
def test_one_engine_is_swapped_and_the_other_stays(served: Served, tmp_path: Path) -> None:
    first, second = (version.id for version in served.versions)
    third = served_homes.make_home(tmp_path / "home", ("thompson",))["thompson"].id

    def deploy(version: str) -> None:
        content = deployment.Deployment(version, "small shop", time.time())
        (tmp_path / "treatment.json").write_bytes(msgspec.json.encode(content))
        end = time.monotonic() + WAIT_SECONDS
        while served.predictor(1).version != version or served.engines[1].differs:
            assert time.monotonic() < end
            time.sleep(0.05)

    assert served.values("served_version_info") == {first: 1.0, second: 1.0}
    deploy(third)
    assert served.recommend("user-02").version == first
    assert served.recommend("user-03").version == third
    assert served.values("served_version_info") == {first: 1.0, third: 1.0}
    assert served.get("/readyz").json()["engines"][1]["wanted"]["version"] == third
    deploy(first)
    assert served.values("served_version_info") == {first: 1.0}
    deploy(second)
    assert served.values("served_version_info") == {first: 1.0, second: 1.0}, "one of two left the first"
    assert served.values("wanted_version_info") == {second: 1.0}
    assert served.values("version_differs") == {}


def test_each_engine_serves_what_its_own_version_learned(served: Served) -> None:
    def poll() -> None:
        for engine in served.engines:
            assert engine.refresher is not None
            engine.refresher.poll()

    served.recommend("user-03")
    time.sleep(0.01)
    poll()
    assert served.values("learning_lag_seconds").keys() == {"thompson"}
    loaded = served.predictor(1).loaded
    name = Checkpoints(served.settings.learning_root, loaded).save(
        loaded.model, LogPosition(int(time.time()) + 10, EMPTY)
    )
    poll()
    assert (served.predictor(0).learned, served.predictor(1).learned) == (None, name)
    poll()
    assert served.values("learning_lag_seconds") == {}


def test_explain_and_similar_use_the_version_of_the_user(served: Served) -> None:
    answers = [served.recommend(user) for user in ("user-02", "user-03")]
    end = time.monotonic() + WAIT_SECONDS
    for answer, version in zip(answers, served.versions, strict=True):
        while (found := served.get(f"/explain/{answer.request_id}")).status_code == 404:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert found.json()["version"] == version.id
        assert len(found.json()["items"]) == 5
    first, second = (version.id for version in served.versions)
    queries = ("", "?user_id=user-02", "?user_id=user-03")
    similar: list[dict[str, Any]] = [served.get(f"/similar/item-00{query}").json() for query in queries]
    assert [one["version"] for one in similar] == [first, first, second]
    assert all(one["items"] for one in similar)


def test_a_sold_out_item_disappears_from_both_at_once(served: Served) -> None:
    asyncio.run(served.worker.upsert_items([ItemUpsert("item-00", available=False)]))
    for user in ("user-02", "user-03"):
        answer = asyncio.run(served.worker.recommend(Request(user, 1_000)))
        assert "item-00" not in [item.item_id for item in answer.items]


def test_the_page_shows_all_versions(served: Served) -> None:
    page = served.get("/").text
    for version in served.versions:
        assert version.id in page
