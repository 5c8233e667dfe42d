"""Holding an experiment: the units of its epoch stay in it, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from support.request_logs import exposure, fill, request
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Assignment
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.lifecycle import kills
from tastemaker.experiments.plan import PlannedExperiment
from tastemaker.storage.engine import open_engine

NAME = "ranker-2"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(open_engine(f"sqlite:///{tmp_path}/meta.db"), tmp_path, monkeypatch)


def expose(
    home: Path,
    number: int,
    unit: str,
    experiment: str = NAME,
    epoch: int = 0,
    *,
    drained: bool = True,
    **other: Any,
) -> None:
    """Log a request of a unit in an experiment, and drain the log."""
    fields: dict[str, Any] = {"probability": 0.5, "served": "a", "plan": "0" * 16, "unit": unit} | other
    fill(home / "spool", [request(number, assignment=Assignment(experiment, epoch, "a", **fields))])
    if drained:
        drain(home / "spool", Lake(home / "lake"))


def planned(shop: ExperimentHome) -> PlannedExperiment:
    (found,) = kills.read_plan(shop.experiments.folder / kills.PLAN).experiments
    return found


def is_assigned(shop: ExperimentHome, unit: str) -> bool:
    folder = shop.experiments.folder
    return bool(Assigner(kills.read_plan(folder / kills.PLAN), folder).assign(Units(user=unit), {}))


def test_units_of_the_epoch_stay_and_no_others_come(shop: ExperimentHome, tmp_path: Path) -> None:
    shop.running(steps=(1_000_000,))
    expose(tmp_path, 1, "ann")
    expose(tmp_path, 2, "eve", experiment="other")
    expose(tmp_path, 3, "old", epoch=1)
    expose(tmp_path, 4, "forced", probability=None)
    assert all(is_assigned(shop, unit) for unit in ("ann", "new"))
    shop.do(NAME, "hold")
    assert is_assigned(shop, "ann")
    assert not any(is_assigned(shop, unit) for unit in ("new", "eve", "old", "forced"))
    shop.do(NAME, "resume")
    assert planned(shop).enrolled is None
    assert is_assigned(shop, "new")


def test_a_unit_whose_exposure_is_not_drained_yet_stays(shop: ExperimentHome, tmp_path: Path) -> None:
    shop.running(steps=(1_000_000,))
    expose(tmp_path, 1, "ann")
    expose(tmp_path, 2, "eve", experiment="other", drained=False)
    expose(tmp_path, 3, "forced", probability=None, drained=False)
    expose(tmp_path, 4, "old", epoch=1, drained=False)
    fill(tmp_path / "spool", [exposure(5, experiment=NAME, unit="flag"), request(6)])
    expose(tmp_path, 7, "ben", drained=False)
    shop.do(NAME, "hold")
    assert all(is_assigned(shop, unit) for unit in ("ann", "ben", "flag"))
    assert not any(is_assigned(shop, unit) for unit in ("eve", "forced", "old"))


@pytest.mark.slow
def test_a_unit_whose_exposure_comes_late_comes_back(shop: ExperimentHome, tmp_path: Path) -> None:
    shop.running(steps=(1_000_000,))
    expose(tmp_path, 1, "ann")
    shop.do(NAME, "hold")
    first = planned(shop).enrolled
    assert not is_assigned(shop, "late")
    expose(tmp_path, 2, "late", drained=False)
    shop.experiments.publish()
    assert planned(shop).enrolled != first
    assert all(is_assigned(shop, unit) for unit in ("ann", "late"))
    files = [file.name for file in (shop.experiments.folder / "enrolled").iterdir()]
    assert [f"enrolled/{name}" for name in files] == [planned(shop).enrolled]


def test_holding_on_an_empty_log_keeps_no_unit(shop: ExperimentHome) -> None:
    shop.running(steps=(1_000_000,))
    shop.do(NAME, "hold")
    assert not is_assigned(shop, "ann")


def test_a_file_that_is_gone_is_written_again(shop: ExperimentHome, tmp_path: Path) -> None:
    shop.running(steps=(1_000_000,))
    expose(tmp_path, 1, "ann")
    shop.do(NAME, "hold")
    (shop.experiments.folder / str(planned(shop).enrolled)).unlink()
    with pytest.raises(TastemakerError, match="has no file of its units"):
        shop.experiments._compiler.publish()
    shop.experiments.publish()
    assert is_assigned(shop, "ann")
