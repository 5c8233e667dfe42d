"""Measuring in processes: what comes back is what this one would say; no death blocks the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from support.tuning_worlds import AIMS, BEST, AimConfig, Aims, world
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import PluginError, TastemakerError
from tastemaker.plugins import TrainingData
from tastemaker.plugins.discovery import Plugin
from tastemaker.settings import Settings
from tastemaker.tuning.trial import TrialBench
from tastemaker.tuning.workers import measuring
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.processes

SECONDS = 60


class DeadlyConfig(AimConfig):
    """How it dies."""

    lasts: bool = False
    """It does not: it runs indefinitely, and SIGTERM does not end it."""
    until: str = ""
    """A file. If it is named, a child of the worker lives on until it is there."""


class Deadly(Aims):
    """The kernel ends the process that fits it."""

    config_type = DeadlyConfig
    config: DeadlyConfig

    def fit(self, data: TrainingData) -> Self:
        while self.config.lasts:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1)
        until = self.config.until
        if not until or os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        give_up = time.monotonic() + SECONDS
        while not Path(until).exists() and time.monotonic() < give_up:
            time.sleep(0.05)
        os._exit(0)


def loaded(settings: Settings) -> Dataset:
    """What a worker process loads."""
    return Workspace(settings).dataset()


DEADLY = Plugin("deadly", Deadly, "tests", "1", "test_tuning_workers:Deadly")


def test_a_worker_says_what_this_process_would(tmp_path: Path) -> None:
    opened = world(tmp_path)
    bench = TrialBench.inside(opened.dataset(), AIMS)
    sound, unsound = AimConfig(aim=BEST, side="right"), AimConfig(fails_above=0.5)
    with measuring(bench, partial(loaded, opened.settings), 2) as submit:
        futures = [submit(config) for config in (unsound, sound, sound)]
        with pytest.raises(PluginError, match=r"aim is 1\.0, must be at most 0\.5"):
            futures[0].result(SECONDS)
        assert [one.result(SECONDS).value for one in futures[1:]] == [bench.measure(sound).value] * 2
        workers = multiprocessing.active_children()
    assert [one.exitcode for one in workers] == [0, 0]  # by themselves: they gave back what they held


@pytest.mark.parametrize("lives_on", [False, True], ids=["alone", "a child of its own lives on"])
def test_a_killed_worker_is_reported(tmp_path: Path, lives_on: bool) -> None:
    opened = world(tmp_path)
    bench = TrialBench.inside(opened.dataset(), DEADLY)
    release = tmp_path / "release"
    config = DeadlyConfig(until=str(release) if lives_on else "")
    reported = pytest.raises(TastemakerError, match=r"a worker process died.*\n.*fewer --jobs")
    with reported, measuring(bench, partial(loaded, opened.settings), 2) as submit:
        submit(DeadlyConfig(lasts=True))
        submit(config).result(SECONDS // 2)  # before the child gives up
    release.touch()
    assert not multiprocessing.active_children()
