"""The worker of a process, from when it is loaded until it closes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Generic, Protocol, TypeVar

from tastemaker.api.schemas import HTTPError
from tastemaker.serving.runtime.metrics import Metrics
from tastemaker.serving.runtime.request_tally import RequestTally
from tastemaker.serving.runtime.worker import NO_MODEL


class Counted(Protocol):
    """What a process loads to answer with, and where its requests are counted."""

    @property
    def metrics(self) -> Metrics:
        """The numbers of the process."""

    def close(self) -> None:
        """Stop answering. Returns when every record is on disk."""


Loaded = TypeVar("Loaded", bound=Counted)
"""The worker of a service, or the controller of several services."""


class ServingProcess(Generic[Loaded]):
    """Holder of the process's worker. The gateway exists before a worker is loaded and after it is closed."""

    def __init__(self, worker: Loaded | None = None) -> None:
        """Answer with `worker`, which is loaded already, or with none yet."""
        self._worker = worker
        self._tally = RequestTally(self._counted)

    @property
    def worker(self) -> Loaded:
        """The loaded worker. Raises HTTPError (503) while there is none."""
        if self._worker is None:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, NO_MODEL)
        return self._worker

    def open(self, worker: Loaded) -> None:
        """Answer with this worker from now on."""
        self._worker = worker

    def close(self) -> None:
        """Answer no more. Returns when every record is on disk."""
        self._tally.write()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an HTTP request that was answered or refused, if a worker is loaded.

        Args:
            endpoint: A path's template, UNKNOWN or SHADOW.
            status: Of the answer.
            seconds: How long the answer took.
        """
        if self._worker is not None:
            self._tally.add(endpoint, status, seconds)

    def _counted(self, endpoint: str, status: int, *seconds: float) -> None:
        if self._worker is not None:
            self._worker.metrics.requested(endpoint, status, *seconds)
