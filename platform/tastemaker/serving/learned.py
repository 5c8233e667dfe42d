"""What a learner has made of the served version, taken up while it serves: only the model's arrays change."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.learning.states import States
from tastemaker.serving.lookout import Lookout
from tastemaker.serving.predictor import new_request_id

if TYPE_CHECKING:
    from tastemaker.serving.engine import Engine

logger = logging.getLogger("tastemaker.serving")


class Learned:
    """Looks every few seconds whether there is a newer state of the version that is served."""

    def __init__(self, root: Path, engine: Engine, *, seconds: float) -> None:
        """`root`: the folder that learners write to. What is there already is served when this returns."""
        self._root, self._engine = root, engine
        self._refused: str | None = None
        self.look()
        self._lookout = Lookout(self.look, seconds=seconds, name="learned")

    def close(self) -> None:
        """Look no more."""
        self._lookout.close()

    def look(self) -> None:
        """Serve the newest state, if it is not served yet. A state that can't be loaded is told of once."""
        predictor = self._engine.predictor
        if predictor is None or not predictor.loaded.model.capabilities.learns_online:
            return
        states = States(self._root, predictor.loaded)
        name: str | None = None
        try:
            name = states.current()
            if name is None or name in (predictor.learned, self._refused):
                return
            fresh = predictor.taught(states.open(name).model, name)
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
            self._engine.swap(fresh, instead_of=predictor)
