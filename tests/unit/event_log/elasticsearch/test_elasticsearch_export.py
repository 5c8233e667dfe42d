"""The copy in the cluster has what the lake has, once, also after kills and erasures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from support.elasticsearch_stub import ElasticsearchStub, elasticsearch
from support.request_logs import NOON, click, fill, request
from tastemaker.cli.forget import forget
from tastemaker.cli.ship import ship
from tastemaker.data.lake import Lake
from tastemaker.event_log import shipping
from tastemaker.event_log.drain import drain
from tastemaker.event_log.elasticsearch import export
from tastemaker.event_log.elasticsearch.cluster import Cluster, ClusterUnavailable, Written
from tastemaker.event_log.elasticsearch.export import Exporter
from tastemaker.event_log.elasticsearch.indices import TABLES, properties, put_templates
from tastemaker.event_log.merge import KEPT_SECONDS, FileState, merge, origins
from tastemaker.event_log.records import Assignment
from tastemaker.privacy.retention import first_day
from tastemaker.settings import Settings

DAY = 86_400.0
REQUESTS, FEEDBACK = "tastemaker-requests-2026.03.01", "tastemaker-feedback-2026.03.01"


@pytest.fixture
def stub() -> Iterator[ElasticsearchStub]:
    """An Elasticsearch."""
    with elasticsearch() as server:
        yield server


def home_of(folder: Path, stub: ElasticsearchStub, **privacy: Any) -> Settings:
    """A home whose log is copied to the server."""
    return Settings(home=folder, elasticsearch={"url": stub.url}, privacy=privacy)


def copied(home: Settings) -> Written:
    """Copy what is new in the lake."""
    cluster = Cluster(home.elasticsearch, sleep=lambda seconds: None)
    try:
        return Exporter(home, cluster).copy()
    finally:
        cluster.close()


def log(home: Settings, *entries: Any) -> None:
    """Log these, and drain them into the lake."""
    fill(home.spool, entries)
    drain(home.spool, Lake(home.lake))


def test_each_request_and_event_is_a_document_of_its_day(tmp_path: Path, stub: ElasticsearchStub) -> None:
    """With every logged value; a missing one is left out, and a list of numbers becomes an object."""
    home = home_of(tmp_path, stub)
    logged = request(1, assignment=Assignment("e1", 2, "b", 0.5), exclude=["pot"])
    log(home, logged, request(2, context=[1.5, 2.0], occurred_at=NOON + DAY, features=None), click(1))
    assert copied(home) == Written(created=3)
    assert stub.indices[REQUESTS][f"{1:032x}"] == {
        "request_id": f"{1:032x}", "occurred_at": "2026-03-01T12:00:01Z", "user_id": "user-1", "k": 2,
        "context": {"page": "home"}, "exclude": ["pot"],
        "features": {"recency_days": None, "orders_per_day": 0.5}, "model": "random", "version": "v1",
        "item_ids": ["tea", "cup"], "scores": [0.5, -1.5], "propensities": [0.25, 0.125], "latency_ms": 0.75,
        "stage": "model", "kind": "recommend", "experiment": "e1", "epoch": 2, "variant": "b",
        "variant_probability": 0.5,
    }  # fmt: skip
    (second,) = stub.indices["tastemaker-requests-2026.03.02"].values()
    assert second["context"] == {"numbers": [1.5, 2.0]}
    assert "features" not in second
    assert stub.indices[FEEDBACK]["click-1"]["event_type"] == "click"


def test_a_file_is_copied_once_and_again_after_it_changed(tmp_path: Path, stub: ElasticsearchStub) -> None:
    """What the cluster has stays as it is."""
    home = home_of(tmp_path, stub)
    log(home, request(1), click(1))
    assert copied(home) == Written(created=2)
    before = len(stub.bulk_ids)
    assert copied(home) == Written()
    assert len(stub.bulk_ids) == before
    log(home, request(2))
    assert copied(home) == Written(created=1)
    (first, _) = Lake(home.lake).files("requests")
    pq.write_table(pa.concat_tables([pq.read_table(first, partitioning=None)] * 2), first)
    assert copied(home) == Written(existing=2)


def test_a_merge_sends_no_document_again(tmp_path: Path, stub: ElasticsearchStub) -> None:
    home = home_of(tmp_path, stub)
    for number in range(5):
        log(home, request(number), click(number))
    assert copied(home) == Written(created=10)
    for kept_seconds in (KEPT_SECONDS, -1.0):
        log(home, request(10 + int(kept_seconds)))
        assert copied(home) == Written(created=1)
        assert merge(Lake(home.lake), kept_seconds=kept_seconds).written
        assert copied(home) == Written(), f"{kept_seconds} seconds"


def test_a_merged_file_is_copied_if_the_cluster_lacks_one_of_its_parts(
    tmp_path: Path, stub: ElasticsearchStub
) -> None:
    home = home_of(tmp_path, stub)
    log(home, request(1))
    assert copied(home) == Written(created=1)
    for number in (2, 3, 4):
        log(home, request(number))
    merge(Lake(home.lake), kept_seconds=-1.0)
    merge(Lake(home.lake), kept_seconds=-1.0)
    assert copied(home) == Written(created=3, existing=1)
    assert copied(home) == Written()
    merged, _ = Lake(home.lake).files("requests")
    os.utime(merged)
    assert copied(home) == Written(existing=3), "it was written again, as by an erasure"
    assert copied(home) == Written()


def test_a_copier_that_continues_looks_at_no_file_of_a_day_without_changes(
    tmp_path: Path, stub: ElasticsearchStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change to a day is seen, also if it came at the same time as the one before."""
    home, looked, stamp = home_of(tmp_path, stub), list[Path](), origins
    exporter = Exporter(home, Cluster(home.elasticsearch))

    def seen(path: Path) -> list[FileState]:
        looked.append(path)
        return stamp(path)

    monkeypatch.setattr(export, "origins", seen)
    log(home, request(0))
    folder = Lake(home.lake).files("requests")[0].parent
    changed_at = folder.stat().st_mtime_ns
    assert exporter.copy().created == 1
    log(home, request(1))
    os.utime(folder, ns=(changed_at, changed_at))
    assert exporter.copy().created == 1
    for number in range(2, 6):
        log(home, request(number))
    os.utime(folder, (NOON, NOON))
    assert exporter.copy().created == 4
    looked.clear()
    assert exporter.copy() == Written()
    assert looked == []
    log(home, request(6))
    assert exporter.copy().created == 1


def test_a_copy_that_was_killed_is_continued(tmp_path: Path, stub: ElasticsearchStub) -> None:
    """The file that was under way is sent again, and its documents exist already."""
    home = home_of(tmp_path, stub)
    for number in range(3):
        log(home, request(2 * number), request(2 * number + 1))
    sent = iter(range(100))

    def dies(document_id: str) -> int | None:
        return 503 if next(sent) >= 3 else None

    stub.item_status = dies
    with pytest.raises(ClusterUnavailable):
        copied(home)
    assert len(stub.ids()) == 3
    stub.item_status = lambda document_id: None
    assert copied(home) == Written(created=3, existing=1)
    assert stub.ids() == [f"{number:032x}" for number in range(6)]


def test_a_rejected_document_is_reported_until_it_is_accepted(
    tmp_path: Path, stub: ElasticsearchStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 1; the other documents are stored."""
    home = home_of(tmp_path, stub)
    monkeypatch.chdir(tmp_path)
    log(home, request(1), request(2))
    stub.item_status = lambda one: 400 if one.endswith("1") else None

    def run(*words: str) -> Result:
        variables = {"TASTEMAKER_HOME": str(tmp_path), "TASTEMAKER_ELASTICSEARCH__URL": stub.url}
        return CliRunner().invoke(ship, ["--to", "elasticsearch", *words], env=variables)

    refused = run("--json")
    assert refused.exit_code == 1
    (rejected,) = json.loads(refused.stdout)["copied"]["rejected"]
    assert rejected["id"] == f"{1:032x}"
    assert f"rejected  {1:032x}" in run().stdout
    stub.item_status = lambda one: None
    fixed = run("--json")
    assert fixed.exit_code == 0
    assert json.loads(fixed.stdout)["copied"] == {"created": 1, "existing": 0, "rejected": []}


def rejecting(*numbers: int) -> Callable[[str], int | None]:
    """A cluster that does not accept these requests."""
    return lambda one: 400 if one in {f"{number:032x}" for number in numbers} else None


@pytest.mark.parametrize("distribution", [None, "opensearch"])
def test_only_rejected_documents_are_sent_again(tmp_path: Path, distribution: str | None) -> None:
    """By each new copier, until the cluster accepts them or their file changes."""
    with elasticsearch(distribution) as stub:
        home = home_of(tmp_path, stub)
        log(home, *(request(number) for number in range(50)), click(1))
        stub.item_status = rejecting(7, 31)
        assert (first := copied(home)).created == 49
        assert len(first.rejected) == 2
        for accepted, sent in ((7, [7, 31]), (31, [31])):
            stub.item_status = rejecting(*(number for number in (7, 31) if number > accepted))
            before = len(stub.bulk_ids)
            assert copied(home).created == 1
            assert stub.bulk_ids[before:] == [[f"{number:032x}" for number in sent]]
        before = len(stub.bulk_ids)
        assert copied(home) == Written()
        assert len(stub.bulk_ids) == before
        assert len(stub.ids()) == 51


def test_a_merge_and_an_erasure_keep_to_the_documents_that_are_lacking(
    tmp_path: Path, stub: ElasticsearchStub
) -> None:
    """A merged file lacks what its parts lack; a file that was written again is sent as a whole."""
    home = home_of(tmp_path, stub)
    stub.item_status = rejecting(1, 4)
    for number in range(6):
        log(home, request(number))
    assert copied(home).created == 4
    assert merge(Lake(home.lake), kept_seconds=-1.0).written
    merge(Lake(home.lake), kept_seconds=-1.0)
    before = len(stub.bulk_ids)
    assert len(copied(home).rejected) == 2
    assert sorted(one for each in stub.bulk_ids[before:] for one in each) == [f"{n:032x}" for n in (1, 4)]
    merged, *_ = Lake(home.lake).files("requests")
    rows = pq.read_table(merged, partitioning=None)
    pq.write_table(rows.filter(pc.not_equal(rows["request_id"], f"{1:032x}")), merged)
    assert [one.id for one in copied(home).rejected] == [f"{4:032x}"]
    stub.item_status = rejecting()
    assert copied(home) == Written(created=1), "of the erased one nothing is noted any more"
    assert copied(home) == Written()


def test_following_copies_what_comes_and_survives_an_outage(
    tmp_path: Path, stub: ElasticsearchStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is reported, and the copy is tried again."""
    monkeypatch.setattr(shipping, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(shipping, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(shipping, "LAKE_SECONDS", 0.0)
    home, stop = home_of(tmp_path, stub), Event()
    fill(home.spool, [request(1)])
    stub.failures.extend([(503, {})] * 6)
    failures: list[str] = []
    exporter = Exporter(home, Cluster(home.elasticsearch, sleep=lambda seconds: None))
    rounds = iter(range(6))

    def export() -> None:
        if next(rounds) == 3:
            stop.set()
        exporter.copy()

    shipping.follow(home, stop, progress=lambda moved: None, on_failure=failures.append, export=export)
    assert stub.ids() == [f"{1:032x}"]
    assert len(failures) == 1
    assert "503" in failures[0]


def test_days_past_the_retention_period_are_not_copied(tmp_path: Path, stub: ElasticsearchStub) -> None:
    """The first day is the one that the lake's own retention keeps."""
    home = home_of(tmp_path, stub, log_days=2)
    first = first_day(2)
    noon = (first.toordinal() - 719_163) * DAY + DAY / 2
    log(
        home,
        request(1, occurred_at=noon - DAY),
        request(2, occurred_at=noon),
        request(3, occurred_at=noon + DAY),
    )
    assert copied(home) == Written(created=2)
    assert stub.ids() == [f"{2:032x}", f"{3:032x}"]


def test_forgetting_a_user_deletes_the_copies_and_proves_it(
    tmp_path: Path, stub: ElasticsearchStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of the user, and feedback that names only one of them; no later copy brings them back."""
    home = home_of(tmp_path, stub)
    monkeypatch.chdir(tmp_path)
    theirs = [request(1, user_id="annabel"), click(1, user_id="annabel")]
    named = click(2, user_id=None, request_id=f"{1:032x}")
    log(home, *theirs, named, request(2), click(3, user_id="user-2"))
    assert copied(home) == Written(created=5)
    variables = {"TASTEMAKER_HOME": str(tmp_path), "TASTEMAKER_ELASTICSEARCH__URL": stub.url}
    proof = CliRunner().invoke(forget, ["annabel", "--json"], env=variables, catch_exceptions=False)
    assert proof.exit_code == 0, proof.output
    found = {place["place"]: place["found"] for place in json.loads(proof.stdout)["erased"]}
    host = stub.url.removeprefix("http://")
    assert found[f"{host} tastemaker-requests-*"] == 1
    assert found[f"{host} tastemaker-feedback-*"] == 2
    assert stub.ids() == sorted([f"{2:032x}", "click-3"])
    copied(home)
    assert stub.ids() == sorted([f"{2:032x}", "click-3"])


@pytest.mark.parametrize("distribution", [None, "opensearch"])
def test_the_templates_fix_every_field_and_the_policy_deletes_after_log_days(
    distribution: str | None,
) -> None:
    """With each distribution's own types and policies; a second time they are replaced."""
    with elasticsearch(distribution) as stub:
        cluster = Cluster(home_of(Path("unused"), stub).elasticsearch)
        for days in (90, 30):
            put_templates(cluster, "shop", days)
        flat = "flattened" if distribution is None else "flat_object"
        for table in TABLES:
            template = stub.templates[f"shop-{table}"]
            assert template["index_patterns"] == [f"shop-{table}-*"]
            assert template["template"]["mappings"]["dynamic"] == "strict"
            lifecycle = template["template"]["settings"].get("index.lifecycle.name")
            assert lifecycle == ("shop-log" if distribution is None else None)
        fields = stub.templates["shop-requests"]["template"]["mappings"]["properties"]
        assert {name for name, field in fields.items() if field["type"] == flat} == {"context", "features"}
        assert fields["item_ids"]["type"] == "keyword"
        assert fields["occurred_at"]["type"] == "date"
        text = json.dumps(stub.policies["shop-log"])
        assert '"30d"' in text
        assert "90d" not in text
        put_templates(cluster, "shop", None)
        settings = stub.templates["shop-requests"]["template"]["settings"]
        assert settings == {}
        cluster.close()


def test_every_column_of_the_tables_has_a_field() -> None:
    """A new column needs no second list."""
    assert set(properties("requests", is_opensearch=False)) >= {
        "request_id",
        "item_ids",
        "diversity",
        "session",
    }
    assert set(properties("feedback", is_opensearch=True)) >= {"event_id", "value", "position"}
