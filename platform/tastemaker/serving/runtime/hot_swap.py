"""Hot swap: another version is loaded beside the old one, tested, and replaces it without a failed request.

The old version answers until the new one has been verified, has answered its golden requests as it once did,
and is warm. A version that fails at any of this is refused, and the old one stays. Its memory is freed when
the last batch that uses it is answered. A rollback works the same way. The new version may be of another
model: its plugin is imported when it is loaded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.registry.deployment import Followed, Target
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.util.poller import Poller

if TYPE_CHECKING:
    from tastemaker.serving.inference.batcher import Batcher
    from tastemaker.serving.runtime.engine_metrics import EngineMetrics
    from tastemaker.serving.runtime.version_loader import VersionLoader

DEPLOYMENT_POLL_SECONDS = 1.0
REFUSED_RETRY_SECONDS = 300.0
"""When a refused version is tried again: its files may be repaired by then, or the machine idle."""
TRIAL_SECONDS = 120.0
"""How long a version may take to be loaded, tested and warmed up: a plugin may hang."""

logger = logging.getLogger("tastemaker.serving")


class VersionWatcher:
    """Polls a deployment once a second, and swaps when it names another version."""

    def __init__(
        self,
        followed: Followed,
        swapper: Swapper,
        *,
        refused: Collection[Target] = (),
        seconds: float = DEPLOYMENT_POLL_SECONDS,
    ) -> None:
        """Start polling.

        Args:
            followed: The deployment's file.
            swapper: Puts the version that it names in place.
            refused: Versions that the log already reports as refused.
            seconds: Between two polls.
        """
        self._followed, self._swapper, self._seen = followed, swapper, ""
        self.wanted: Target | None = None
        """The version that the deployment named when it was last read."""
        self._trouble: str | None = None
        self._retry_at = float("inf")
        self._refused = refused
        if followed.state():
            self._read()  # known from the first request on; the first poll acts on it
        self._poller = Poller(self._poll, seconds=seconds, name="deployment")

    def close(self) -> None:
        """Stop polling."""
        self._poller.close()

    @property
    def trouble(self) -> str | None:
        """Why the wanted version is not served, or not known, in words; None while it is served."""
        return self._trouble or self._poller.trouble

    def _poll(self) -> None:
        state = self._followed.state()
        if state == self._seen and time.monotonic() < self._retry_at:
            return
        unchanged, self._seen = state == self._seen, state
        self._retry_at = float("inf")
        if not self._read():
            return
        trouble = (
            None
            if self.wanted is None
            else self._swapper.swap(self.wanted, quiet=unchanged or self.wanted in self._refused)
        )
        self._refused = ()
        if self._trouble is not None and trouble is None:
            logger.info("%s is served, as wanted", self.wanted or "what was served before")
        self._trouble = trouble
        if trouble is not None:
            self._retry_at = time.monotonic() + REFUSED_RETRY_SECONDS

    def _read(self) -> bool:
        """Read which version is wanted; False if the file can't be read: then the last one still is."""
        try:
            wanted = self._followed.wanted()
        except TastemakerError as error:
            trouble = f"the deployment is not followed: {error.problem}"
            if trouble != self._trouble:
                logger.error("the deployment is not followed: %s", error)
            self._trouble = trouble
            return False
        if wanted != self.wanted:
            self._swapper.wants(self.wanted, wanted)
            self.wanted = wanted
        return True


class Swapper:
    """Replaces the version of an engine, by one of the same model or of another."""

    def __init__(
        self,
        artifacts: Path,
        loader: VersionLoader,
        engine: Batcher,
        metrics: EngineMetrics,
        *,
        swapped: Callable[[Target], None] = lambda target: None,
        seconds: float = TRIAL_SECONDS,
    ) -> None:
        """Prepare to swap.

        Args:
            artifacts: The folder of all versions.
            loader: Opens versions.
            engine: Serves them.
            metrics: The engine's.
            swapped: Called when another version is served.
            seconds: How long a version may take to open.
        """
        self._artifacts, self._loader, self._seconds = artifacts, loader, seconds
        self._engine, self._metrics, self._swapped = engine, metrics, swapped

    def wants(self, before: Target | None, wanted: Target | None) -> None:
        """Record in metrics and the log that another version is wanted than before.

        Args:
            before: The version that was wanted; None if there was none.
            wanted: The version that is wanted now; None if there is none.
        """
        self._metrics.wants(before, wanted)
        served = self._served()
        if wanted is not None and wanted != served:
            logger.info("version %s of %s is wanted, %s is served", wanted.version, wanted.model, served)

    def swap(self, wanted: Target, *, quiet: bool = False) -> str | None:
        """Serve this version from the next batch on. Returns once it is served or refused.

        Args:
            wanted: The version, of any model.
            quiet: Whether a refusal is logged at the level DEBUG, as it is in the log already.

        Returns:
            None if it is served; or why it is refused, in words.
        """
        if wanted == self._served():
            return None
        opened = self._opened(wanted, quiet)
        if isinstance(opened, str):
            self._metrics.swapped(wanted.model, "refused")
            return f"{wanted} is wanted and was refused: {opened}; {self._served()} is served"
        self._engine.swap(opened)
        self._metrics.swapped(wanted.model, "done")
        self._metrics.serves(wanted.model, wanted.version)
        self._swapped(wanted)
        logger.info("version %s of %s is served now", wanted.version, wanted.model)
        return None

    def _served(self) -> Target | None:
        predictor = self._engine.predictor
        return None if predictor is None else Target(predictor.model, predictor.version)

    def _opened(self, wanted: Target, quiet: bool) -> Predictor | str:
        """Return the version ready to answer, or why it is not."""
        trial: Future[Predictor] = Future()
        threading.Thread(target=self._try, args=(wanted, trial), name="trial", daemon=True).start()
        level = logging.DEBUG if quiet else logging.ERROR
        try:
            return trial.result(self._seconds)
        except TimeoutError:
            why = f"it was not ready after {self._seconds:g} s"
            logger.log(level, "version %s is refused, %s", wanted.version, why)
        except TastemakerError as error:
            why = error.problem
            logger.log(level, "version %s is refused, the old one stays: %s", wanted.version, error)
        except BaseException as fault:  # the plugin's own code may raise anything, SystemExit too
            why = type(fault).__name__  # its message might quote personal data
            logger.log(level, "version %s is refused, the old one stays", wanted.version, exc_info=True)
        return why

    def _try(self, wanted: Target, trial: Future[Predictor]) -> None:
        try:
            trial.set_result(self._loader.open(wanted.folder(self._artifacts)))
        except BaseException as fault:
            trial.set_exception(fault)
