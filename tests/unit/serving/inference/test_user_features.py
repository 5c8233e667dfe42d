"""Users' features: remembered for a while, read once a batch, and never waited for longer than allowed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from tastemaker.plugins.arrays import Float32
from tastemaker.serving.inference import user_features
from tastemaker.serving.inference.user_features import Outcome, UserFeatures
from tastemaker.util import supervised_thread

NAMES = ("name_length", "reads")
PATIENT = 20.0


class Store:
    """An online store that a test can stop."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.down = False
        self.go = threading.Event()
        self.go.set()

    def users(self, user_ids: Sequence[str], names: Sequence[str]) -> Float32:
        assert tuple(names) == NAMES
        self.asked.append(list(user_ids))
        self.go.wait(PATIENT)
        if self.down:
            raise ConnectionError("no route to the store")
        return np.array([[len(user_id), len(self.asked)] for user_id in user_ids], np.float32)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def counted() -> Counter[Outcome]:
    """How often each outcome was reported."""
    return Counter()


Make = Callable[..., UserFeatures]


@pytest.fixture
def make(store: Store, counted: Counter[Outcome]) -> Iterator[Make]:
    """Makes readers that are closed in the end."""
    made: list[UserFeatures] = []

    def one(**more: float) -> UserFeatures:
        def count(outcome: Outcome, n: int) -> None:
            counted[outcome] += n

        arguments = {"seconds": PATIENT, "fresh_seconds": PATIENT, **more}
        made.append(UserFeatures(store, NAMES, count=count, **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield one
    store.go.set()
    for each in made:
        each.close()


def test_a_batch_is_one_read_and_then_none(store: Store, make: Make, counted: Counter[Outcome]) -> None:
    features = make()
    expected = [[3.0, 1.0], [5.0, 1.0]]
    for _ in range(3):
        assert features.users(["ann", "bobby"]).tolist() == expected
    assert features.users(["bobby", "eve", "ann"]).tolist() == [[5.0, 1.0], [3.0, 2.0], [3.0, 1.0]]
    assert store.asked == [["ann", "bobby"], ["eve"]]
    assert counted == {"read": 3, "cached": 6}
    assert features.users([]).shape == (0, 2)


def test_values_that_were_in_time_are_counted(store: Store) -> None:
    got: list[list[float]] = []
    features = UserFeatures(
        store,
        NAMES,
        seconds=PATIENT,
        fresh_seconds=PATIENT,
        count_values=lambda values: got.extend(values.tolist()),
    )
    features.users(["ann", "bobby"])
    features.users(["bobby", "eve"])
    assert got == [[3.0, 1.0], [5.0, 1.0], [5.0, 1.0], [3.0, 2.0]]
    features._seconds = 0.05
    store.go.clear()
    features.users(["ann", "zoe", "bobby"])
    assert got[4:] == [[3.0, 1.0], [5.0, 1.0]], "what was late is missing for another reason"
    store.go.set()
    features.close()


def test_what_is_no_longer_fresh_is_read_again(store: Store, make: Make) -> None:
    features = make(fresh_seconds=0)
    features.users(["ann"])
    assert features.users(["ann"]).tolist() == [[3.0, 2.0]]


def test_what_expires_soon_is_read_ahead_and_no_request_waits(
    store: Store, make: Make, counted: Counter[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_features, "AHEAD", 1.0)
    features = make()
    assert features.users(["ann", "bobby"]).tolist() == [[3.0, 1.0], [5.0, 1.0]]
    store.go.clear()
    for _ in range(3):
        assert features.users(["ann", "bobby"]).tolist() == [[3.0, 1.0], [5.0, 1.0]]
    store.go.set()
    end = time.monotonic() + PATIENT
    while features.users(["ann"]).tolist() != [[3.0, 2.0]] and time.monotonic() < end:
        time.sleep(0.001)
    assert store.asked[:2] == [["ann", "bobby"], ["ann", "bobby"]]
    assert counted["read"] == 2
    assert counted.keys() == {"read", "cached"}


def test_reads_ahead_are_pooled(store: Store, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_features, "AHEAD", 1.0)
    monkeypatch.setattr(user_features, "AHEAD_SECONDS", PATIENT)
    features = make()
    features.users(["ann", "bobby"])
    features.users(["ann"])
    features.users(["bobby"])
    features.users(["ann"])
    features._ahead_at = 0.0
    end = time.monotonic() + PATIENT
    while len(store.asked) < 3 and time.monotonic() < end:
        features.users(["bobby"])
        time.sleep(0.001)
    assert store.asked[1] == ["ann"]
    assert sorted(store.asked[2]) == ["ann", "bobby"]


def test_nothing_is_read_ahead_from_a_store_that_fails(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_features, "AHEAD", 1.0)
    features = make()
    features.users(["ann"])
    store.down = True
    features.users(["eve"])
    assert features.users(["ann"]).tolist() == [[3.0, 1.0]]
    assert features._ahead is None
    assert store.asked == [["ann"], ["eve"]]


def test_the_oldest_are_forgotten(store: Store, make: Make) -> None:
    features = make(size=2)
    for user in ("a", "b", "c"):
        features.users([user])
    features.users(["b", "c"])
    features.users(["a"])
    assert store.asked == [["a"], ["b"], ["c"], ["a"]]


def test_a_late_store_is_not_waited_for_and_what_it_brings_is_kept(
    store: Store, make: Make, counted: Counter[Outcome]
) -> None:
    features = make(seconds=0.05)
    store.go.clear()
    start = time.monotonic()
    assert np.isnan(features.users(["ann"])).all()
    waited = time.monotonic()
    assert waited - start >= 0.05
    for _ in range(100):
        assert np.isnan(features.users(["ann", "bob"])).all()
    assert time.monotonic() - waited < 100 * 0.05, "while one read is late, no request waits for another"
    assert counted == {"late": 201}
    store.go.set()
    end = time.monotonic() + PATIENT
    while np.isnan(features.users(["ann"])).any():
        assert time.monotonic() < end
    assert counted["cached"] + counted["read"] == 1
    assert len(store.asked) <= 2


def test_a_store_that_fails_means_unknown_and_is_said_once(
    store: Store, make: Make, counted: Counter[Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tastemaker.serving")
    features = make()
    store.down = True
    for _ in range(3):
        assert np.isnan(features.users(["ann"])).all()
    store.down = False
    assert features.users(["ann"]).tolist() == [[3.0, 4.0]]
    assert counted == {"failed": 3, "read": 1}
    assert [entry.message for entry in caplog.records] == [
        "the online feature store fails; lists are answered without it",
        "the online feature store answers in time again",
    ]


def test_a_store_that_hangs_is_trouble_once_in_the_log_and_over_once_it_answers(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(user_features, "LATE_SECONDS", 0.05)
    caplog.set_level("INFO", "tastemaker")
    features = make(seconds=0.01)
    store.go.clear()
    end = time.monotonic() + PATIENT
    while features.trouble is None and time.monotonic() < end:
        features.users(["ann"])
    for _ in range(20):
        features.users(["ann"])
    trouble = features.trouble
    store.go.set()
    while features.trouble is not None and time.monotonic() < end:
        features.users([f"unknown {time.monotonic_ns()}"])
    assert trouble == "the online feature store does not answer within 0.01 s; lists are answered without it"
    assert caplog.messages == [
        "the online feature store does not answer within 0.01 s; lists are answered without it",
        "the online feature store answers in time again",
    ]


def test_a_store_that_hangs_then_fails_is_one_trouble_and_its_end_is_seen_without_a_request(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(user_features, "LATE_SECONDS", 0.05)
    monkeypatch.setattr(user_features, "PROBE_SECONDS", 0.01)
    caplog.set_level("INFO", "tastemaker")
    features = make(seconds=0.5)
    store.go.clear()
    end = time.monotonic() + PATIENT
    while features.trouble is None and time.monotonic() < end:
        features.users(["ann"])
    store.down = True
    store.go.set()
    while "fails" not in (features.trouble or "") and time.monotonic() < end:
        time.sleep(0.01)
    n_asked = len(store.asked)
    while len(store.asked) < n_asked + 3 and time.monotonic() < end:
        time.sleep(0.01)
    store.down = False
    while features.trouble is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert features.trouble is None
    assert caplog.messages == [
        "the online feature store does not answer within 0.5 s; lists are answered without it",
        "the online feature store answers in time again",
    ]


def test_one_late_read_is_not_trouble(store: Store, make: Make) -> None:
    features = make(seconds=0.01)
    store.go.clear()
    assert np.isnan(features.users(["ann"])).all()
    assert features.trouble is None


def test_a_store_that_fails_is_trouble_until_it_answers(store: Store, make: Make) -> None:
    features = make()
    store.down = True
    features.users(["ann"])
    seen = [features.trouble]
    store.down = False
    features.users(["ann"])
    seen.append(features.trouble)
    assert seen == ["the online feature store fails; lists are answered without it", None]


def test_a_driver_that_ends_the_thread_keeps_no_request_waiting(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_thread, "AGAIN_SECONDS", 0.01)
    features, works = make(), store.users
    with monkeypatch.context() as broken:

        def leave(*_: object) -> Float32:
            raise SystemExit(1)

        broken.setattr(store, "users", leave)
        assert np.isnan(features.users(["ann"])).all()
    store.users = works  # type: ignore[method-assign]
    assert features.users(["ann"]).tolist() == [[3.0, 1.0]]
