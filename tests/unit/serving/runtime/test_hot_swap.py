"""Versions that can't be tried are refused one by one, and the next one is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tastemaker.errors import ArtifactError
from tastemaker.registry.deployment import Target
from tastemaker.serving.runtime.hot_swap import Swapper

ENDED = threading.Event()
"""Lets the versions that hang go."""


class Trials:
    """A loader whose versions misbehave as they are called."""

    def open(self, folder: Path) -> SimpleNamespace:
        if folder.name == "hangs":
            ENDED.wait()
        if folder.name == "exits":
            raise SystemExit(1)
        if folder.name == "corrupt":
            raise ArtifactError("model.npy has changed", fix="train again")
        return SimpleNamespace(model=folder.parent.name, version=folder.name)


class Seen:
    """An engine and metrics that record their calls."""

    def __init__(self) -> None:
        self.predictor: Any = SimpleNamespace(model="random", version="old")
        self.swaps: list[str] = []
        self.served: list[str] = []

    def swap(self, predictor: Any) -> None:
        self.predictor = predictor

    def swapped(self, model: str, outcome: str) -> None:
        self.swaps.append(outcome)

    def serves(self, model: str, version: str) -> None:
        self.served.append(version)


@pytest.fixture
def seen() -> Iterator[Seen]:
    ENDED.clear()
    yield Seen()
    ENDED.set()


@pytest.mark.parametrize("fault", ["hangs", "exits", "corrupt"])
def test_a_version_that_fails_is_refused_and_the_next_is_served(
    seen: Seen, fault: str, tmp_path: Path
) -> None:
    one = cast(Any, seen)
    swapper = Swapper(tmp_path, cast(Any, Trials()), one, one, seconds=0.2)
    said = swapper.swap(Target("random", fault))
    assert (seen.predictor.version, seen.swaps) == ("old", ["refused"])
    assert said is not None
    assert said.startswith(f"random {fault} is wanted and was refused: ")
    assert said.endswith("; random old is served")
    assert swapper.swap(Target("random", "new")) is None
    assert (seen.predictor.version, seen.swaps, seen.served) == ("new", ["refused", "done"], ["new"])
    assert swapper.swap(Target("random", "new")) is None
    assert seen.swaps == ["refused", "done"]
