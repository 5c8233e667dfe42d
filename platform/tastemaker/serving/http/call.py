"""A request as its endpoint gets it."""

from __future__ import annotations

from typing import Generic

import msgspec

from tastemaker.serving.http.asgi import Headers
from tastemaker.serving.runtime.serving_process import Loaded, ServingProcess


class Call(msgspec.Struct, Generic[Loaded], frozen=True, gc=False):
    """A request as its endpoint gets it."""

    process: ServingProcess[Loaded]
    body: bytes
    argument: str
    """What the path holds after its word, percent-decoded."""
    query: bytes
    request_id: str
    headers: Headers

    @property
    def worker(self) -> Loaded:
        """What answers. Raises HTTPError (503) before it is loaded."""
        return self.process.worker
