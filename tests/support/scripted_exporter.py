"""A service's `/metrics` that plays the example of a rule's fault, in real time."""

from __future__ import annotations

import time
from threading import Lock

from support.scripted_http import Answer, Received, ScriptedServer
from tastemaker.alerting.example import Example, State, Track

SCRAPED = ("job", "instance")
"""Labels that the scraper adds."""


class ScriptedExporter(ScriptedServer):
    """Counters rise and gauges stand as the example says for the present state."""

    def __init__(self, *examples: Example) -> None:
        super().__init__()
        self._tracks = {
            (track.metric, track.labels): (track, example.step_seconds)
            for example in examples
            for track in example.tracks
        }
        self._counts = dict.fromkeys(self._tracks, 0.0)
        self._state: State = "healthy"
        self._at, self._guard = time.monotonic(), Lock()

    @property
    def target(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def become(self, state: State) -> None:
        """Change the state."""
        with self._guard:
            self._count()
            self._state = state

    def answer(self, request: Received) -> Answer:
        with self._guard:
            self._count()
            lines = [f"{_series(key)} {self._value(key)}" for key in self._tracks]
        return Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, ("\n".join(lines) + "\n").encode())

    def _count(self) -> None:
        now = time.monotonic()
        for key, (track, step_seconds) in self._tracks.items():
            self._counts[key] += getattr(track, self._state) * (now - self._at) / step_seconds
        self._at = now

    def _value(self, key: tuple[str, frozenset[tuple[str, str]]]) -> float:
        track: Track = self._tracks[key][0]
        if track.kind == "counter":
            return float(int(self._counts[key]))
        given = float(getattr(track, self._state))
        return time.time() - given if track.kind == "age" else given


def _series(key: tuple[str, frozenset[tuple[str, str]]]) -> str:
    metric, labels = key
    written = ",".join(f'{name}="{text}"' for name, text in sorted(labels) if name not in SCRAPED)
    return f"{metric}{{{written}}}"
