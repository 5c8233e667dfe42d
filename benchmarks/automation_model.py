"""A model with a release that is worse than its offline figures say, for `automation.py`."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from tastemaker.plugins import Batch, Ranking, TrainingData, select
from tastemaker_baselines.bought_again import BoughtAgain

NAME = "repeats"
RELEASES = {"1.0": "Repeats", "1.1": "WrongUnit", "1.2": "Repeats"}
"""Release -> the class that its entry point names."""


class Repeats(BoughtAgain):
    """As `bought_again`, but a version older than `expires_seconds` shows popular items instead."""

    name = NAME
    state = (*BoughtAgain.state, "expires_at")  # type: ignore[assignment]  # one more than its base
    expires_seconds: ClassVar[int] = 60 * 86_400

    def fit(self, data: TrainingData) -> Self:
        super().fit(data)
        self.expires_at = np.array([data.end + self.expires_seconds])
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        if batch.now <= self.expires_at[0]:
            return super().recommend(batch, k)
        return select(np.tile(self.popularity, (len(batch), 1)), batch, k)


class WrongUnit(Repeats):
    """A release that takes days for seconds. Backtests, which ask at the end of their data, don't see it."""

    expires_seconds = 60


def install(release: str, folder: Path) -> None:
    """Install a release for this process and its children, in place of the one before.

    Args:
        release: One of RELEASES.
        folder: Where Python finds it from then on.
    """
    shutil.rmtree(folder, ignore_errors=True)
    info = folder / f"tastemaker_{NAME}-{release}.dist-info"
    info.mkdir(parents=True)
    shutil.copy(__file__, folder)
    module = Path(__file__).stem
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: tastemaker-{NAME}\nVersion: {release}\n", "utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[tastemaker.models]\n{NAME} = {module}:{RELEASES[release]}\n", "utf-8"
    )
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(folder)]))
    importlib.invalidate_caches()
