"""Erasure removes a user from every place where the platform put them, and names where they remain."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from support import served_homes
from support.request_logs import NOON, click, exposure, fill, request, shadow
from support.served_homes import make_home
from tastemaker.cli.forget import forget
from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, QUARANTINE
from tastemaker.dataset.dataset import Dataset
from tastemaker.event_log.drain import drain, read_log
from tastemaker.event_log.postgres import PostgresSink
from tastemaker.event_log.records import Assignment, Entry, UserRecord
from tastemaker.event_log.shipping import collect
from tastemaker.experiments.enrolled_units import EnrolledUnits, write_enrolled
from tastemaker.features.online import open_reader
from tastemaker.features.snapshots import write_snapshots
from tastemaker.plugins import discovery
from tastemaker.privacy.search import Person, search_home
from tastemaker.registry import Registry, deployment
from tastemaker.settings import LogSettings, OnlineStoreSettings, Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import experiments, namespaces
from tastemaker_features import store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's and Ibis's own

WHO, OTHER = "user-07", "user-08"
TRANSIENT = {".db-wal", ".db-shm"}
"""SQLite makes them while a process reads."""


def run(settings: Settings, *words: str) -> Result:
    """`tastemaker forget` in this home."""
    environment = {"TASTEMAKER_HOME": str(settings.home)}
    for section in ("log", "online_store"):
        for name, value in getattr(settings, section).model_dump(exclude_defaults=True).items():
            environment[f"TASTEMAKER_{section}__{name}".upper()] = str(value)
    return CliRunner().invoke(forget, list(words), env=environment, catch_exceptions=False)


def lived_in(home: Path, **settings: Any) -> Settings:
    """A home in which two users bought, got answers, sent feedback, and are in quarantine and reports."""
    made = Settings(home=home, **settings)
    lake = Lake(made.lake)
    make_home(home)
    logged: list[Entry] = [
        *(request(number, user_id=user) for number, user in enumerate((WHO, OTHER))),
        click("own", user_id=WHO),
        click("by request", user_id=None, request_id=f"{0:032x}"),
        click("other", user_id=OTHER),
        UserRecord(WHO, NOON, country="NL"),
        *(exposure(user, unit=user, user_id=user) for user in (WHO, OTHER)),
        exposure("by unit", unit=WHO, user_id=None),
        *(shadow(20 + n, shadow_of=n, user_id=user) for n, user in enumerate((WHO, OTHER))),
    ]
    fill(made.spool, logged)
    drain(made.spool, lake)
    fill(made.spool, [click(f"{number} again", user_id=user) for number, user in enumerate((WHO, OTHER))])
    row = {"source": "s", "table": "events", "day": None, "rule": "r", "failed_rules": ["r"]}
    raw = [row | {"raw": json.dumps({"customer": user})} for user in (WHO, OTHER)]
    lake.write_day(
        "quarantine", datetime(2026, 3, 1, tzinfo=UTC).date(), pa.Table.from_pylist(raw, QUARANTINE)
    )
    write_snapshots(lake, made.features, [int(served_homes.START.timestamp()) + 30 * 86_400])
    made.reports.mkdir()
    (made.reports / "gate.html").write_text(f"<td>{WHO}</td>")
    (made.reports / "board.html").write_text("<td>empty</td>")
    (home / "simulate").mkdir()
    (home / "simulate" / "run.jsonl").write_text(f'{{"user": "{WHO}"}}\n{{"user": "{OTHER}"}}\n')
    return made


def places(settings: Settings, user_id: str) -> dict[str, int]:
    """File -> how often the person is found there."""
    found = search_home(settings.home, Person((user_id,)))
    return {place.place: place.found for place in found if place.found}


def test_a_person_is_erased_from_all_but_the_versions_in_use(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    collect(settings, Lake(settings.lake))  # as an erasure does
    before, others = places(settings, WHO), places(settings, OTHER)
    fill(settings.spool, [click("waits", user_id=WHO)])
    kinds = {name.split("/")[1] if name.startswith("lake/") else name.split("/")[0] for name in before}
    assert kinds == {
        *("events", "requests", "feedback", "users", "user_changes", "quarantine"),
        *("exposures", "shadow_answers"),
        *("spool", "features", "artifacts", "reports", "simulate"),
    }
    result = run(settings, WHO, "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 1, "the version in use knows them"
    assert {place["place"].split("/")[0] for place in said["remains"]} == {"artifacts"}
    assert {place["place"] for place in said["erased"]} >= {one for one in before if "artifacts" not in one}
    assert places(settings, OTHER) == others, "no other user is touched"
    ids = set(Lake(settings.lake).read("feedback")["event_id"].to_pylist())
    assert ids == {"click-other", "click-1 again"}, "what answered their request is theirs"
    assert read_log(Lake(settings.lake))["user_id"].to_pylist() == [OTHER]
    assert Lake(settings.lake).read("exposures")["unit"].to_pylist() == [OTHER]
    assert Lake(settings.lake).read("shadow_answers")["user_id"].to_pylist() == [OTHER]


def test_after_new_training_nothing_remains_and_the_proof_lists_what_was_searched(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    (settings.home / "mine.csv").write_text(f"user,{WHO}\n")
    first = run(settings, WHO)
    assert first.exit_code == 1
    assert (
        "fix: retrain (tastemaker run), deploy the new versions, then run tastemaker forget" in first.stderr
    )
    assert "that the platform does not own\n  fix: delete it there yourself" in first.stderr
    (settings.home / "mine.csv").unlink()
    dataset = Dataset.load(Lake(settings.lake), served_homes.problem())
    new = served_homes.register(tmp_path, discovery.get("popularity").recommender(), dataset)
    result = run(settings, WHO)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "nothing remains"
    assert new.folder.exists()
    assert [path.name for path in new.folder.parent.iterdir() if not path.name.startswith(".")] == [new.id]
    found = json.loads(run(settings, WHO, "--check", "--json").stdout)
    assert not found["remains"]
    present = (path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in TRANSIENT)
    files = {str(path.relative_to(tmp_path)) for path in present}
    assert files - {"forgotten.json"} <= {place["place"] for place in found["searched"]}


def test_a_version_that_is_served_is_not_deleted_under_its_service(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    (old,) = Registry(create_engine(settings.metadata_url), settings.artifacts).list()
    deployment.deploy(settings.artifacts, old.model, old.id, old.problem)
    run(settings, WHO)
    dataset = Dataset.load(Lake(settings.lake), served_homes.problem())
    new = served_homes.register(tmp_path, discovery.get("popularity").recommender(), dataset)
    assert run(settings, WHO).exit_code == 1
    assert old.folder.exists()
    deployment.deploy(settings.artifacts, new.model, new.id, new.problem)
    assert run(settings, WHO).exit_code == 0
    assert not old.folder.exists()


def test_a_check_erases_nothing(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    before = places(settings, WHO)
    result = run(settings, WHO, "--check")
    assert result.exit_code == 1
    assert "found     lake/users/part.parquet: 1 rows" in result.stdout
    assert places(settings, WHO) == before


def test_erasing_a_user_named_as_an_item_keeps_the_item(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    lake = Lake(settings.lake)
    row = {
        "event_id": "e",
        "user_id": "item-01",
        "item_id": "item-02",
        "event_type": "purchase",
        "value": 1.0,
    }
    row |= {"occurred_at": served_homes.START, "request_id": None, "position": None}
    day = served_homes.START.date()
    lake.write_day("events", day, pa.Table.from_pylist([row], schema=EVENTS), part="another")
    before = len(lake.read("events"))
    run(settings, "item-01")
    assert len(lake.read("events")) == before - 1


def test_erasing_a_user_named_as_an_experiment_or_a_variant_keeps_the_requests(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    assignment = Assignment("experiment-7", epoch=0, variant="variant-b", probability=0.5)
    fill(settings.spool, [request(3, user_id=OTHER, assignment=assignment)])
    drain(settings.spool, Lake(settings.lake))
    before = read_log(Lake(settings.lake))
    for name in ("experiment-7", "variant-b"):
        run(settings, name)
    assert read_log(Lake(settings.lake)).equals(before)


def test_units_of_experiments_that_are_held_are_erased(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    engine = open_engine(settings.metadata_url)
    made: dict[str, Any] = {
        "name": "home",
        "unit": "user",
        "salt": "n",
        "cool_down_seconds": 0,
        "created_at": served_homes.START,
    }
    held: dict[str, Any] = {
        "problem": "shop",
        "namespace": "home",
        "kind": "ab",
        "owner": "ann",
        "state": "holding",
    }
    held |= {"created_at": served_homes.START, "epoch": 0, "enrolment": 0, "revision": 1, "changes": 1}
    with engine.begin() as connection:
        connection.execute(namespaces.insert().values(made))
        for name in ("one", "two"):
            connection.execute(experiments.insert().values(held | {"name": name, "salt": f"salt-{name}"}))
    folder = settings.experiments_root / "enrolled"
    for place, name in enumerate(("one", "two")):
        path = folder / f"{name}-0.npy"
        write_enrolled(path, f"salt-{name}", [WHO, OTHER])
        os.utime(path, (1_000 - place, 1_000 - place))
    assert "experiments/enrolled/one-0.npy: 1 values" in run(settings, WHO, "--check").stdout
    run(settings, WHO)
    for name in ("one", "two"):
        enrolled = EnrolledUnits(folder / f"{name}-0.npy", f"salt-{name}")
        assert WHO not in enrolled
        assert OTHER in enrolled
    newest = max(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)
    assert newest.name == "one-0.npy", "which file is in force does not change"
    assert "experiments/" not in run(settings, WHO, "--check").stdout


def test_an_unknown_user_is_found_nowhere(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    collect(settings, Lake(settings.lake))  # as an erasure does
    before = places(settings, OTHER)
    assert run(settings, "unknown user").exit_code == 0
    assert places(settings, OTHER) == before


@pytest.mark.servers
def test_servers_forget_too(tmp_path: Path, postgres_url: str, redis_url: str) -> None:
    log = LogSettings(target="postgres", url=postgres_url)
    settings = lived_in(tmp_path, log=log, online_store=OnlineStoreSettings(type="redis", url=redis_url))
    logged: list[Entry] = [
        request(10, user_id=WHO),
        request(11, user_id=OTHER),
        click("c", user_id=None, request_id=f"{10:032x}"),
        exposure("c", unit=WHO, user_id=None),
        exposure("d", unit=OTHER, user_id=OTHER),
        shadow(12, shadow_of=10, user_id=WHO),
        shadow(13, shadow_of=11, user_id=OTHER),
    ]
    fill(settings.spool, logged)
    drain(settings.spool, PostgresSink(postgres_url))
    store.apply(settings)
    store.materialize(settings, int(served_homes.START.timestamp()) + 30 * 86_400)
    result = run(settings, WHO, "--json")
    remains = {place["place"].split("/")[0] for place in json.loads(result.stdout)["remains"]}
    assert remains == {"artifacts"}
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        keys = set(connection.execute(text("SELECT key FROM log_records")).scalars())
    engine.dispose()
    kept, gone = (
        {f"{11:032x}", f"{13:032x}", "exposure-d"},
        {f"{10:032x}", f"{12:032x}", "exposure-c", "click-c"},
    )
    assert kept <= keys
    assert not gone & keys
    reader = open_reader(settings)
    features = reader.users([WHO, OTHER], ["user_events_count"])
    reader.close()
    assert features[0, 0] != features[0, 0], "NaN: unknown"
    assert features[1, 0] > 0


def test_the_embedded_online_store_forgets(tmp_path: Path) -> None:
    settings = lived_in(tmp_path)
    store.apply(settings)
    store.materialize(settings, int(served_homes.START.timestamp()) + 30 * 86_400)
    assert places(settings, WHO)["feast/online.db"]
    run(settings, WHO)
    reader = open_reader(settings)
    features = reader.users([WHO, OTHER], ["user_events_count"])
    reader.close()
    assert features[0, 0] != features[0, 0], "NaN: unknown"
    assert features[1, 0] > 0
    assert b"user-07" not in (settings.feast / "online.db").read_bytes()
