"""Going over to another version without a failed request: loaded beside the old, tried, then in its place.

The old version answers until the new one has been verified, has answered its golden requests as it once did,
and is warm. A version that fails at any of this is refused, and the old one serves on. Its memory is given
back when the last batch that uses it is answered. Rolling back is the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.registry import deployment
from tastemaker.serving.lookout import Lookout
from tastemaker.serving.predictor import Predictor

if TYPE_CHECKING:
    from tastemaker.serving.engine import Engine
    from tastemaker.serving.loading import Loader
    from tastemaker.serving.metrics import Metrics

LOOK_SECONDS = 1.0
TRIAL_SECONDS = 120.0
"""How long a version may take to be loaded, tried and warmed: a plugin may hang, and others come after it."""

logger = logging.getLogger("tastemaker.serving")


class Watch:
    """Looks at a model's deployment once a second, and swaps when it names another version."""

    def __init__(
        self, path: Path, seen: str, swap: Callable[[str], None], *, seconds: float = LOOK_SECONDS
    ) -> None:
        """`seen`: the file's `deployment.state` that was acted on already."""
        self._path, self._seen, self._swap = path, seen, swap
        self._lookout = Lookout(self._look, seconds=seconds, name="deployment")

    def close(self) -> None:
        """Look no more."""
        self._lookout.close()

    def _look(self) -> None:
        state = deployment.state(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            wanted = deployment.read(self._path)
        except TastemakerError as error:
            logger.error("the deployment is not followed: %s", error)
        else:
            if wanted is not None:
                self._swap(wanted.version)


class Swapper:
    """Puts versions of one model in place of each other."""

    def __init__(
        self,
        model: str,
        artifacts: Path,
        loader: Loader,
        engine: Engine,
        metrics: Metrics,
        *,
        seconds: float = TRIAL_SECONDS,
    ) -> None:
        self._folder, self._loader, self._seconds = artifacts / model, loader, seconds
        self._engine, self._metrics = engine, metrics

    def swap(self, version: str) -> None:
        """Serve this version from the next batch on, or say why not."""
        serving = self._engine.predictor
        if serving is not None and serving.version == version:
            return
        predictor = self._opened(version)
        if predictor is None:
            self._metrics.swapped("refused")
            return
        self._engine.swap(predictor)
        self._metrics.swapped("done")
        self._metrics.serves(version)
        logger.info("version %s is served now", version)

    def _opened(self, version: str) -> Predictor | None:
        trial: Future[Predictor] = Future()
        threading.Thread(target=self._try, args=(version, trial), name="trial", daemon=True).start()
        try:
            return trial.result(self._seconds)
        except TimeoutError:
            logger.error("version %s is refused, it was not ready after %g s", version, self._seconds)
        except TastemakerError as error:
            logger.error("version %s is refused, the old one serves on: %s", version, error)
        except BaseException:  # the plugin's own code may raise anything, SystemExit too
            logger.exception("version %s is refused, the old one serves on", version)
        return None

    def _try(self, version: str, trial: Future[Predictor]) -> None:
        try:
            trial.set_result(self._loader.open(self._folder / version))
        except BaseException as fault:
            trial.set_exception(fault)
