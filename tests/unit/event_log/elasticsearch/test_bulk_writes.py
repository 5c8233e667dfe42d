"""Documents arrive once each, whatever the cluster answers; secrets and rows appear in no message."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from support.elasticsearch_stub import ElasticsearchStub, elasticsearch
from tastemaker.elasticsearch_settings import ElasticsearchSettings
from tastemaker.errors import TastemakerError
from tastemaker.event_log.elasticsearch.cluster import (
    ATTEMPTS,
    LONGEST_WAIT_SECONDS,
    Cluster,
    ClusterUnavailable,
    Document,
    RejectedDocument,
    Written,
)
from tastemaker.event_log.elasticsearch.indices import put_templates

INDEX = "tastemaker-requests-2026.03.01"
WAITS: list[float] = []


@pytest.fixture
def stub() -> Iterator[ElasticsearchStub]:
    """A server with the templates."""
    with elasticsearch() as server:
        put_templates(cluster_of(server), "tastemaker", None)
        server.calls.clear()
        yield server


def cluster_of(stub: ElasticsearchStub, **settings: object) -> Cluster:
    """A client that notes its waits instead of waiting."""
    WAITS.clear()
    return Cluster(ElasticsearchSettings.model_validate({"url": stub.url} | settings), sleep=WAITS.append)


def documents(*ids: str, **fields: object) -> list[Document]:
    """Documents with little in them."""
    return [Document(INDEX, one, json.dumps({"request_id": one, **fields}).encode()) for one in ids]


def test_documents_are_created_and_a_repeated_write_changes_nothing(stub: ElasticsearchStub) -> None:
    """The ids are the documents' own; also those with quotation marks."""
    cluster = cluster_of(stub)
    assert cluster.write(documents("a", 'b"ü')) == Written(created=2)
    assert cluster.write(documents("a", 'b"ü', "c", k=3)) == Written(created=1, existing=2)
    assert stub.indices[INDEX]["a"] == {"request_id": "a"}
    assert stub.ids() == ["a", 'b"ü', "c"]
    assert {one.headers["content-type"] for one in stub.calls} == {"application/x-ndjson"}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_whole_write_that_has_to_wait_is_repeated(stub: ElasticsearchStub, status: int) -> None:
    """Once or several times; a Retry-After is honoured."""
    stub.failures.extend([(status, {}), (status, {"Retry-After": "9"}), (status, {"Retry-After": "x"})])
    assert cluster_of(stub).write(documents("a", "b")) == Written(created=2)
    assert len(stub.bulk_ids) == 4
    assert WAITS[1] >= 9 / 2
    assert all(0 < wait <= LONGEST_WAIT_SECONDS for wait in WAITS)


def test_only_the_documents_that_were_not_accepted_are_sent_again(stub: ElasticsearchStub) -> None:
    """Each as long as its own answer is 429 or 503."""
    refused = {"b": [429, 503], "c": [429]}
    stub.item_status = lambda one: refused[one].pop() if refused.get(one) else None
    assert cluster_of(stub).write(documents("a", "b", "c")) == Written(created=3)
    assert stub.bulk_ids == [["a", "b", "c"], ["b", "c"], ["b"]]


def test_a_document_that_can_never_be_stored_is_named_and_the_others_are(stub: ElasticsearchStub) -> None:
    """The reason is the error's type: its text quotes the document."""
    written = cluster_of(stub).write([*documents("a"), *documents("bad", surname="Doe"), *documents("c")])
    rejected = RejectedDocument("bad", "strict_dynamic_mapping_exception (400)")
    assert written == Written(created=2, rejected=(rejected,))
    assert len(stub.bulk_ids) == 1


def test_it_gives_up_in_words_after_some_attempts(stub: ElasticsearchStub) -> None:
    """The message has the number of documents and the last answer, and no text of the cluster."""
    stub.item_status = lambda one: 429 if one == "b" else None
    with pytest.raises(ClusterUnavailable, match=r"1 documents were not accepted after 6 .*429") as caught:
        cluster_of(stub).write(documents("a", "b"))
    assert "quotes" not in str(caught.value)
    assert stub.bulk_ids == [["a", "b"], *[["b"]] * (ATTEMPTS - 1)]
    assert stub.ids() == ["a"]


def test_a_write_that_is_too_large_is_halved(stub: ElasticsearchStub) -> None:
    """Down to single documents; one that is too large alone is rejected."""
    stub.max_bytes = 300
    names = [f"id-{number}" for number in range(7)]
    written = cluster_of(stub).write([*documents(*names), *documents("large", model="x" * 300)])
    assert written == Written(
        created=7, rejected=(RejectedDocument("large", "too large for the cluster (413)"),)
    )
    assert stub.ids() == names


def test_writes_have_at_most_the_bytes_of_the_setting(stub: ElasticsearchStub) -> None:
    """Unless one document has more."""
    cluster = cluster_of(stub, batch_bytes=10_000)
    written = cluster.write(documents(*(f"{number}" for number in range(50)), model="x" * 1_000))
    assert written == Written(created=50)
    assert 6 <= len(stub.bulk_ids) <= 8


def test_a_server_that_hangs_or_is_away_is_unavailable(stub: ElasticsearchStub) -> None:
    """The deadline ends the wait; the message names the host and the fix."""
    stub.failures.extend([1.0] * ATTEMPTS)
    with pytest.raises(ClusterUnavailable, match=stub.url.removeprefix("http://")):
        cluster_of(stub, timeout_seconds=0.05).write(documents("a"))
    away = Cluster(ElasticsearchSettings(url="http://127.0.0.1:9"), sleep=WAITS.append)
    with pytest.raises(ClusterUnavailable, match="can't be reached"):
        away.write(documents("a"))


@pytest.mark.parametrize(
    ("status", "words"), [(401, "right to manage"), (403, "right"), (404, "cluster's log")]
)
def test_a_refusal_is_not_repeated(stub: ElasticsearchStub, status: int, words: str) -> None:
    """It is the person's to change, and does not quote the cluster."""
    stub.failures.append((status, {}))
    with pytest.raises(TastemakerError, match=words) as caught:
        cluster_of(stub).write(documents("a"))
    assert not isinstance(caught.value, ClusterUnavailable)
    assert "secret" not in str(caught.value)
    assert len(stub.bulk_ids) == 1


def test_secrets_come_from_the_environment_only(
    stub: ElasticsearchStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an API key or as a user with a password; a missing one is an error that names the variable."""
    monkeypatch.setenv("SEARCH_KEY", "abc==")
    cluster_of(stub, api_key_variable="SEARCH_KEY").write(documents("a"))
    assert stub.calls[-1].headers["authorization"] == "ApiKey abc=="
    cluster_of(stub, user="ann", password_variable="SEARCH_KEY").write(documents("a"))
    expected = base64.b64encode(b"ann:abc==").decode()
    assert stub.calls[-1].headers["authorization"] == f"Basic {expected}"
    monkeypatch.delenv("SEARCH_KEY")
    with pytest.raises(TastemakerError, match="SEARCH_KEY is not set"):
        cluster_of(stub, api_key_variable="SEARCH_KEY")
    with pytest.raises(TastemakerError, match=r"elasticsearch\.url is not set"):
        Cluster(ElasticsearchSettings())


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "search:9200"},
        {"url": "http://ann:secret@search:9200"},
        {"user": "ann"},
        {"password_variable": "A"},
        {"api_key_variable": "A", "user": "ann", "password_variable": "B"},
        {"prefix": "Upper"},
        {"batch_bytes": 1},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    """Before anything is sent."""
    with pytest.raises(ValidationError):
        ElasticsearchSettings.model_validate(settings)
