"""States of online learning, served as they appear: only the model's arrays change."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.online_learning.checkpoints import Checkpoints, until
from tastemaker.serving.inference.predictor import new_request_id
from tastemaker.util.poller import Poller

if TYPE_CHECKING:
    from tastemaker.serving.inference.batcher import Batcher
    from tastemaker.serving.runtime.engine_metrics import EngineMetrics

MAX_TIMES = 20_000
"""Times of answers that are remembered until they are learned: at a poll every 5 s, more than a day."""

logger = logging.getLogger("tastemaker.serving")


class ModelRefresher:
    """Polls for newer states of the served version, and serves them.

    While that version does not learn online, there are none.
    """

    def __init__(self, root: Path, engine: Batcher, metrics: EngineMetrics, *, seconds: float) -> None:
        """Serve the newest state, and start polling.

        Args:
            root: The folder that learners write to.
            engine: Serves the version.
            metrics: The engine's.
            seconds: Between two polls.
        """
        self._root, self._engine, self._metrics = root, engine, metrics
        self._refused: str | None = None
        self._unlearned: deque[float] = deque()
        """When lists were answered that the served state has not learned, at most one time per poll."""
        self._version: str | None = None
        self._since = 0.0
        """When the version came, if another one answered before: it does not learn that one's lists."""
        self._polling = threading.Lock()
        self.poll()
        self._poller = Poller(self.poll, seconds=seconds, name="learned")

    def close(self) -> None:
        """Stop polling."""
        self._poller.close()

    @property
    def trouble(self) -> str | None:
        """That the newest state is not served, in words; None while it is."""
        if self._refused is not None:
            return "the newest state of the model can't be served; the last sound one is"
        return self._poller.trouble

    def poll(self) -> None:
        """Serve the newest state, if it is not served yet, and measure how far it is behind.

        A state that can't be loaded is logged once. Any thread may call it, such as when another version is
        served.
        """
        with self._polling:
            predictor = self._engine.predictor
            if predictor is not None and not predictor.loaded.model.capabilities.learns_online:
                self._unlearned.clear()
                self._refused, self._version = None, predictor.version
                return
            if predictor is not None and self._version != predictor.version:
                self._unlearned.clear()
                self._since = 0.0 if self._version is None else time.time()
                self._refused, self._version = None, predictor.version
            self._take_up()
            self._metrics.lags(self._lag(time.time()))

    def _lag(self, now: float) -> float:
        """Return the seconds since the oldest answer here that the served state has not learned, or 0."""
        predictor, answered_at = self._engine.predictor, self._metrics.answered_at
        if predictor is None:
            return 0.0
        name, unlearned = predictor.learned, self._unlearned
        learned_until = predictor.loaded.manifest.window.end if name is None else until(name)
        if answered_at > (unlearned[-1] if unlearned else self._since) and len(unlearned) < MAX_TIMES:
            unlearned.append(answered_at)
        while unlearned and unlearned[0] < learned_until:
            unlearned.popleft()
        return max(0.0, now - unlearned[0]) if unlearned else 0.0

    def _take_up(self) -> None:
        predictor = self._engine.predictor
        if predictor is None:
            return
        states = Checkpoints(self._root, predictor.loaded)
        name: str | None = None
        try:
            name = states.current()
            if name is None or name == predictor.learned:
                self._refused = None
            if name is None or name in (predictor.learned, self._refused):
                return
            fresh = predictor.with_model(states.open(name).model, name)
            fresh.warm_up(new_request_id(), int(time.time()))
        except TastemakerError as error:
            if name not in states.names():  # replaced by a newer one meanwhile
                return
            logger.error("a state of %s is not served: %s", predictor.version, error)
            self._refused = name
        except Exception:  # the plugin's own code may raise anything
            logger.exception("a state of %s is not served", predictor.version)
            self._refused = name
        else:
            if self._refused is not None:
                logger.info("the newest state of %s is served again", predictor.version)
            self._refused = None
            self._engine.swap(fresh, instead_of=predictor)
