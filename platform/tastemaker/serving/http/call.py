"""A request of the prediction service, as its endpoint gets it."""

from __future__ import annotations

import msgspec

from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request as its endpoint gets it."""

    process: ServingProcess
    body: bytes
    argument: str
    """What the path holds after its word, percent-decoded."""
    query: bytes
    request_id: str

    @property
    def worker(self) -> Worker:
        """What answers. Raises HTTPError (503) before it is loaded."""
        return self.process.worker
