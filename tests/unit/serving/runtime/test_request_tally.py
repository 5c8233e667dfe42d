"""Requests are counted together, and before a caller can ask for the counts."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from unittest.mock import Mock, call

from tastemaker.serving.runtime.request_tally import RequestTally
from tastemaker.serving.runtime.serving_process import ServingProcess


def test_the_requests_of_an_iteration_are_written_once_for_each_endpoint_and_status() -> None:
    write = Mock()

    async def answer() -> None:
        tally = RequestTally(write)
        for seconds in (0.1, 0.2, 0.3):
            tally.add("/recommend", 200, seconds)
        tally.add("/recommend", 400, 0.4)
        assert not write.called
        await asyncio.sleep(0)
        assert write.mock_calls == [call("/recommend", 200, 0.1, 0.2, 0.3), call("/recommend", 400, 0.4)]
        await asyncio.sleep(0)
        tally.add("/feedback", 200, 0.5)
        await asyncio.sleep(0)
        assert write.mock_calls[2:] == [call("/feedback", 200, 0.5)]

    asyncio.run(answer())


def test_a_process_that_closes_counts_the_requests_that_it_answered() -> None:
    worker = Mock()

    async def answer() -> None:
        process = ServingProcess(cast(Any, worker))
        process.count("/recommend", 200, 0.1)
        process.close()
        process.count("/recommend", 503, 0.2)
        await asyncio.sleep(0)

    asyncio.run(answer())
    assert worker.mock_calls == [call.metrics.requested("/recommend", 200, 0.1), call.close()]
