"""A thread that must not end: whatever its work raises, it begins again, and says so once."""

from __future__ import annotations

import threading

import pytest

from tastemaker.util import supervised_thread
from tastemaker.util.poller import Poller
from tastemaker.util.supervised_thread import SupervisedThread

PATIENT = 30.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin again at once."""
    monkeypatch.setattr(supervised_thread, "AGAIN_SECONDS", 0.001)


@pytest.mark.parametrize("fault", [ValueError("secret"), SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_work_that_raises_is_called_again_until_it_returns(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tastemaker")
    begun = []

    def work() -> None:
        begun.append(thread.trouble)
        if len(begun) < 4:
            raise fault
        thread.succeeded()

    thread = SupervisedThread(work, name="busy")
    thread.start()
    thread._thread.join(PATIENT)
    assert begun == [None, *[f"the busy thread failed: {type(fault).__name__}"] * 3]
    assert (thread.failures, thread.trouble, thread.is_alive()) == (3, None, False)
    assert caplog.messages == ["the busy thread failed; it begins again", "the busy thread works again"]


def test_failing_work_is_not_called_again_after_join() -> None:
    begun, may_fail = threading.Semaphore(0), threading.Event()

    def work() -> None:
        begun.release()
        may_fail.wait(PATIENT)
        raise ValueError

    thread = SupervisedThread(work, name="busy")
    thread.start()
    assert begun.acquire(timeout=PATIENT)
    thread._ending.set()
    may_fail.set()
    thread.join(PATIENT)
    assert not thread.is_alive()
    assert not begun.acquire(blocking=False)


def test_a_poller_continues_after_an_error_and_reports_trouble_until_it_succeeds() -> None:
    looks, made = threading.Semaphore(0), threading.Event()
    faults: list[BaseException] = [OSError(), SystemExit(), RuntimeError()]
    seen: list[str | None] = []

    def look() -> None:
        assert made.wait(PATIENT)
        seen.append(poller.trouble)
        looks.release()
        if faults:
            raise faults.pop()

    poller = Poller(look, seconds=0.001, name="curious")
    made.set()
    for _ in range(5):
        assert looks.acquire(timeout=PATIENT)
    poller.close()
    reasons = [f"the curious thread failed: {name}" for name in ("RuntimeError", "SystemExit", "OSError")]
    assert seen[:5] == [None, *reasons, None]
    assert poller.trouble is None
