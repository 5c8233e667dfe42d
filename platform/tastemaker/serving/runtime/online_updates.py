"""What a learner has made of the served version, taken up while it serves: only the model's arrays change."""

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
    from tastemaker.serving.runtime.metrics import Metrics

MOMENTS = 20_000
"""Moments of answers that are remembered until they are learned: at a look every 5 s, more than a day."""

logger = logging.getLogger("tastemaker.serving")


class ModelRefresher:
    """Looks every few seconds whether there is a newer state of the version that is served.

    While the version that is served does not learn online, there is nothing to look for.
    """

    def __init__(self, root: Path, engine: Batcher, metrics: Metrics, *, seconds: float) -> None:
        """`root`: the folder that learners write to. What is there already is served when this returns."""
        self._root, self._engine, self._metrics = root, engine, metrics
        self._refused: str | None = None
        self._unlearned: deque[float] = deque()
        """When lists were answered that the served state has not learned, at most one moment a look."""
        self._version: str | None = None
        self._since = 0.0
        """When the version came, if another one answered before it, whose lists it need not learn."""
        self._looking = threading.Lock()
        self.look()
        self._lookout = Poller(self.look, seconds=seconds, name="learned")

    def close(self) -> None:
        """Look no more."""
        self._lookout.close()

    @property
    def trouble(self) -> str | None:
        """In words, that what was learned is not served; None while all is well."""
        if self._refused is not None:
            return "what the model has learned can't be served; the last state that can is"
        return self._lookout.trouble

    def look(self) -> None:
        """Serve the newest state, if it is not served yet, and measure how far it is behind.

        A state that can't be loaded is told of once. Any thread may call it, such as when another version is
        served.
        """
        with self._looking:
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
        """Seconds since the oldest answer of this process that the served state has not learned, or 0."""
        predictor, answered_at = self._engine.predictor, self._metrics.answered_at
        if predictor is None:
            return 0.0
        name, unlearned = predictor.learned, self._unlearned
        learned_until = predictor.loaded.manifest.window.end if name is None else until(name)
        if answered_at > (unlearned[-1] if unlearned else self._since) and len(unlearned) < MOMENTS:
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
            logger.error("what %s has learned is not served: %s", predictor.version, error)
            self._refused = name
        except Exception:  # the plugin's own code may raise anything
            logger.exception("what %s has learned is not served", predictor.version)
            self._refused = name
        else:
            if self._refused is not None:
                logger.info("what %s has learned is served again", predictor.version)
            self._refused = None
            self._engine.swap(fresh, instead_of=predictor)
