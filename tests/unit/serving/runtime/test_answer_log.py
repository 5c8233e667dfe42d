"""What is counted of each batch of answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tastemaker.api.schemas import Answer, Request
from tastemaker.event_log.records import Item, Kind
from tastemaker.event_log.spool import Spool
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult
from tastemaker.serving.runtime.answer_log import log_answers
from tastemaker.serving.runtime.metrics import Metrics


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path) as opened:
        yield opened


def given(
    n: int, k: int, *sources: tuple[str, int], kind: Kind = "recommend", model: str = "ease"
) -> tuple[PendingRequest, InferenceResult]:
    """An answer of n items to a request of k."""
    ask = InferenceRequest(Request("ann", k), "0" * 32, 100.0, kind)
    loop = asyncio.new_event_loop()
    pending = PendingRequest(ask, loop.create_future(), 0.0)
    loop.close()
    answer = Answer("0" * 32, model, "v1", [Item(f"i{place}", 0.0, 1.0) for place in range(n)], None)
    return pending, InferenceResult(answer, None, sources=sources)  # type: ignore[arg-type]


def counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Label values but `ease`, by the order of their labels -> what was counted, without zeros."""
    return {
        tuple(value for _, value in sorted(sample.labels.items()) if value != "ease"): sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
        if sample.name == f"tastemaker_{name}" and sample.value
    }


def test_lists_and_items_are_counted_by_what_is_missing_and_what_chose_them(spool: Spool) -> None:
    metrics = Metrics(spool)
    batch = [
        given(10, 10),
        given(10, 10, ("precomputed", 2), ("popular", 3), ("new", 1)),
        given(4, 10, ("static", 4)),
        given(0, 10),
        given(0, 5, kind="rank"),
        given(3, 5, kind="session"),
    ]
    log_answers(spool, metrics.engine("ease"), batch, 0.0)
    assert counted(metrics, "answers_total") == {("none", "model"): 6}
    assert counted(metrics, "empty_answers_total") == {("recommend",): 1, ("rank",): 1}
    assert counted(metrics, "short_answers_total") == {("recommend",): 1, ("session",): 1}
    assert counted(metrics, "shown_items_total") == {
        ("model",): 10 + 4 + 3, ("precomputed",): 2, ("popular",): 3, ("new",): 1, ("static",): 4,
    }  # fmt: skip


def test_a_batch_may_hold_answers_of_two_versions(spool: Spool) -> None:
    metrics = Metrics(spool)
    log_answers(spool, metrics.engine("ease"), [given(2, 2), given(0, 2, model="knn")], 0.0)
    assert counted(metrics, "shown_items_total") == {("model",): 2}
    assert counted(metrics, "empty_answers_total") == {("recommend", "knn"): 1}
