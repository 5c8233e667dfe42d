"""`within`: a time limit whose timer is set only if the coroutine has to wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tastemaker.serving.http.asgi import within


async def slow(steps: int, seen: list[str]) -> str:
    try:
        for _ in range(steps):
            await asyncio.sleep(0)
        return "done"
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    finally:
        seen.append("ended")


async def failing(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    raise KeyError("fault")


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_the_result_is_that_of_the_coroutine(steps: int) -> None:
    async def call() -> str:
        return await within(60, slow(steps, []))

    assert asyncio.run(call()) == "done"


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_an_exception_is_that_of_the_coroutine(steps: int) -> None:
    async def call() -> None:
        await within(60, failing(steps))

    with pytest.raises(KeyError, match="fault"):
        asyncio.run(call())


def test_a_coroutine_that_takes_too_long_is_cancelled() -> None:
    async def endless(seen: list[str]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    seen: list[str] = []

    async def call() -> None:
        await within(0.01, endless(seen))

    with pytest.raises(TimeoutError):
        asyncio.run(call())
    assert seen == ["cancelled"]


def test_cancelling_the_caller_cancels_the_coroutine() -> None:
    seen: list[str] = []

    async def call() -> None:
        task = asyncio.create_task(_awaited(within(60, slow(10**9, seen))))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call())
    assert seen == ["cancelled", "ended"]


def test_a_timer_is_set_only_for_a_coroutine_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def timers(steps: int) -> int:
        counted = 0
        original = asyncio.timeout

        def timeout(seconds: float | None) -> asyncio.Timeout:
            nonlocal counted
            counted += 1
            return original(seconds)

        monkeypatch.setattr(asyncio, "timeout", timeout)
        await within(60, slow(steps, []))
        monkeypatch.undo()
        return counted

    assert asyncio.run(timers(0)) == 0
    assert asyncio.run(timers(1)) == 1


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
