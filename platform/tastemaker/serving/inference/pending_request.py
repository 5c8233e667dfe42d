"""A request between its arrival and its answer."""

from __future__ import annotations

import asyncio

from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult


class PendingRequest:
    """A request that waits for its answer."""

    __slots__ = ("ask", "future", "since", "taken")

    def __init__(self, ask: InferenceRequest, future: asyncio.Future[InferenceResult], since: float) -> None:
        """Hold a request until its answer is there.

        Args:
            ask: What is answered.
            future: Gets the answer; of the event loop that the request came in.
            since: When the request arrived, `time.monotonic`; its deadline is counted from then.
        """
        self.ask, self.future, self.since = ask, future, since
        self.taken = False
        """Whether the model's thread took it."""
