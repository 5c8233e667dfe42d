"""`tastemaker evaluate --from-log`: a random version's log, purchases with known chances, and the truth."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, select

from support import served_homes
from tastemaker.api.schemas import Request
from tastemaker.cli.evaluate import evaluate
from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import OffPolicyError, RegistryError
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import forecasts

AFTER = served_homes.START + timedelta(days=served_homes.DAYS + 1)
REQUESTS, K = 4_000, 3
CHANCES = np.linspace(0.4, 0.05, served_homes.N_ITEMS)[:, None] * np.array([1.0, 0.7, 0.5])
"""That item n, shown at position p, is bought."""


def answered(version: Version, n: int, rng: np.random.Generator) -> list[Record]:
    """The answers of the version to n users in the days after its training."""
    predictor = Predictor(load_version(version.folder))
    records = []
    for number in range(n):
        timestamp = (AFTER + timedelta(seconds=60 * number)).timestamp()
        request_id = rng.bytes(16).hex()
        asked = Request(user_id=f"user-{number}", k=K)
        answer = predictor.recommend([InferenceRequest(asked, request_id, timestamp)])[0].answer
        records.append(
            Record(request_id, timestamp, asked.user_id, K, answer.model, answer.version, answer.items, 1.0)
        )
    return records


def purchases(records: list[Record], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Bought by chance, an hour later; every other one does not say which request it came of."""
    return [
        {
            "event_id": f"{record.request_id}-{position}-bought",
            "user_id": record.user_id,
            "item_id": item.item_id,
            "event_type": "purchase",
            "value": 5.0,
            "occurred_at": datetime.fromtimestamp(record.occurred_at + 3600, UTC),
            "request_id": record.request_id if number % 2 else None,
            "position": position if number % 2 else None,
        }
        for number, record in enumerate(records)
        for position, item in enumerate(record.items)
        if rng.random() < CHANCES[int(item.item_id[-2:]), position]
    ]


def log_requests(lake: Lake, records: list[Record], name: str) -> None:
    """Put requests and purchases into the lake."""
    rng = np.random.default_rng(1)
    day = AFTER.date()
    late = purchases(records, rng)[0] | {"event_id": f"{name}-late", "user_id": "late", "request_id": None}
    late["occurred_at"] = AFTER + timedelta(days=60)  # so that every window is closed
    bought = pa.Table.from_pylist([*purchases(records, rng), late], schema=EVENTS)
    lake.write_day("requests", day, request_rows(records), part=name)
    lake.write_day("events", day, bought, part=f"{name}-bought")


class Home:
    """A home folder whose random version answered users."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions = served_homes.make_home(path, ("random", "popularity", "trending"))
        dataset = Dataset.load(Lake(path / "lake"), served_homes.problem())
        self.twin = served_homes.register(path, discovery.get("random").recommender(), dataset)
        self.problem = path / "problem.yaml"
        self.problem.write_text(served_homes.problem().model_dump_json())
        self.lake = Lake(path / "lake")

    def run(self, *words: str) -> Result:
        """`tastemaker evaluate` in this home."""
        environment = {"TASTEMAKER_HOME": str(self.path), "TASTEMAKER_PROBLEM": str(self.problem)}
        return CliRunner(env=environment).invoke(evaluate, [*words], env=environment)

    def engine(self) -> Engine:
        return open_engine(f"sqlite:///{self.path / 'tastemaker.db'}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("logged"))
    log_requests(made.lake, answered(made.versions["random"], REQUESTS, np.random.default_rng(0)), "random")
    return made


def truth(version: Version) -> float:
    """Of a version that shows all users the same list."""
    (record,) = answered(version, 1, np.random.default_rng(2))
    return float(sum(CHANCES[int(item.item_id[-2:]), place] for place, item in enumerate(record.items)))


def stored(engine: Engine, version: Version) -> list[dict[str, Any]]:
    """The forecasts of a version in the database, as the command prints them."""
    with engine.connect() as connection:
        rows = connection.execute(select(forecasts).where(forecasts.c.version_id == version.id)).mappings()
        return [
            {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
            for row in rows
        ]


def test_the_forecast_holds_the_truth_and_is_kept(home: Home) -> None:
    popularity = home.versions["popularity"]
    result = home.run(popularity.id, "--from-log", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    for name in ("ips", "snips", "replay", "dr", "switch_dr"):  # the direct method's knows no model's error
        assert found["estimates"][name]["low"] <= truth(popularity) <= found["estimates"][name]["high"], name
    assert found["estimates"]["direct_method"]["value"] == pytest.approx(truth(popularity), abs=0.1)
    width = {name: each["high"] - each["low"] for name, each in found["estimates"].items()}
    assert width["direct_method"] < width["dr"] < width["ips"]
    served = CHANCES.mean(axis=0).sum()
    assert found["estimates"]["logged"]["low"] <= served <= found["estimates"]["logged"]["high"]
    assert found["uplift"]["low"] <= truth(popularity) - served <= found["uplift"]["high"]
    assert found["requests"] == REQUESTS
    assert found["diagnostics"]["mean_weight"] == pytest.approx(1, abs=0.1)
    assert stored(home.engine(), popularity) == [found]


def test_two_versions_are_compared_on_the_same_requests(home: Home) -> None:
    ids = {name: version.id for name, version in home.versions.items()}
    result = home.run(ids["popularity"], "--from-log", "--against", "trending", "--json")
    found = json.loads(result.stdout)
    assert found["against_id"] == ids["trending"]
    expected = truth(home.versions["popularity"]) - truth(home.versions["trending"])
    assert found["uplift"]["low"] <= expected <= found["uplift"]["high"]


def test_the_version_that_answered_is_worth_what_it_earned(home: Home) -> None:
    found = json.loads(home.run(home.versions["random"].id, "--from-log", "--json").stdout)
    assert found["uplift"]["difference"] == pytest.approx(0, abs=1e-9)
    for name in ("ips", "dr"):
        assert found["estimates"][name]["value"] == pytest.approx(found["estimates"]["logged"]["value"]), name


def test_a_policy_that_draws_is_worth_what_its_twin_earned(home: Home) -> None:
    """Its chances are known from draws only, 100 a request. The interval is about four errors wide."""
    result = home.run("random", "--from-log", "--json")
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert found["version_id"] == home.twin.id
    uplift = found["uplift"]
    assert abs(uplift["difference"]) <= uplift["high"] - uplift["low"]
    assert found["diagnostics"]["mean_weight"] == pytest.approx(1, abs=0.03)


def test_a_version_is_not_evaluated_on_its_training_window(home: Home) -> None:
    dataset = Dataset.load(home.lake, served_homes.problem())
    late = served_homes.register(home.path, discovery.get("popularity").recommender(), dataset)
    result = home.run(late.id, "--from-log", "--against", "log")
    assert isinstance(result.exception, OffPolicyError)
    assert f"{REQUESTS:,} from before" in str(result.exception)
    assert "the end of a training window" in str(result.exception)


def test_diagnostics_and_figures_are_shown(home: Home) -> None:
    result = home.run(home.versions["popularity"].id, "--from-log", "--against", "log")
    assert result.exit_code == 0, result.output
    assert result.output.index("effective sample size") < result.output.index("SNIPS")
    assert all(title in result.output for title in ("direct method", "doubly robust", "switch-DR"))
    assert "Uplift over what was served" in result.output
    assert "stored as forecast" in result.output


def test_a_log_without_exploration_is_refused(tmp_path: Path) -> None:
    made = Home(tmp_path)
    log_requests(made.lake, answered(made.versions["popularity"], 50, np.random.default_rng(0)), "certain")
    result = made.run("trending", "--from-log")
    assert isinstance(result.exception, OffPolicyError)
    assert "50 answered by deterministic versions, with every propensity 1" in str(result.exception)
    assert "serve a stochastic policy" in str(result.exception.fix)
    assert "SNIPS" not in result.output
    assert stored(made.engine(), made.versions["trending"]) == []


def test_too_short_a_log_shows_its_diagnostics_and_no_figure(tmp_path: Path) -> None:
    made = Home(tmp_path)
    log_requests(made.lake, answered(made.versions["random"], 300, np.random.default_rng(0)), "short")
    result = made.run("popularity", "--from-log")
    assert isinstance(result.exception, OffPolicyError)
    assert "the effective sample size is" in str(result.exception)
    assert "effective sample size" in result.output
    assert "SNIPS" not in result.output


def test_an_empty_log_and_an_unknown_version_are_refused(tmp_path: Path) -> None:
    made = Home(tmp_path)
    empty = made.run("popularity", "--from-log")
    assert "the request log is empty" in str(empty.exception)
    unknown = made.run("nothing", "--from-log")
    assert isinstance(unknown.exception, RegistryError)
    assert made.run("popularity").exit_code == 2
