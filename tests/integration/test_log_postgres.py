"""Postgres as the log's target: idempotent, and brought into lakes whole, on a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from click.testing import CliRunner
from sqlalchemy import Connection, create_engine, text

from support import learning_homes, served_homes
from support.request_logs import NOON, click, exposure, fill, request, settings_of, shadow
from tastemaker.cli.ship import ship
from tastemaker.data.lake import Lake
from tastemaker.data.tables import ASSIGNMENT
from tastemaker.dataset.dataset import Dataset
from tastemaker.event_log import drain as drains
from tastemaker.event_log.drain import Drained, drain, read_feedback, read_log
from tastemaker.event_log.lookup import find
from tastemaker.event_log.postgres import DatabaseUnavailable, PostgresSink, connect, newest, pull, waiting
from tastemaker.event_log.records import Assignment, Entry, FeedbackRecord, ItemRecord, Record, UserRecord
from tastemaker.event_log.shipping import collect, follow
from tastemaker.event_log.spool_file import FILE_NAME, read
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.plugins import discovery
from tastemaker.storage import migrations
from tastemaker.workflows.online_learning import learning_session
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.servers

EVERYTHING: list[Entry] = [
    request(1, user_id="Žofie 🛍", context=[1.5, 2.0], session=["tea"], kind="session"),
    request(2, fallback="model_error", stage="popular", exclude=["pot"], candidates=["tea", "cup"]),
    click(1, user_id=None, request_id=f"{1:032x}", position=0),
    shadow(3, shadow_of=1),
    exposure(1, unit='Žofie "🛍"', user_id="Žofie 🛍"),
    click('quo"te,\n\\.\n', value=-2.5),
    ItemRecord("tea", NOON, title='Te"a', available=False),
    UserRecord("ann", NOON, country="NL", blocked_items=["cup"]),
]


LOGS_REVISION = "0004"
"""The step that made the table `log_records`, as the release before has it."""


def upgrade(connection: Connection, revision: str) -> None:
    """Bring a database to a step."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    command.upgrade(config, revision)


def rows(url: str) -> int:
    """How many records the database holds."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = int(connection.execute(text("SELECT count(*) FROM log_records")).scalar_one())
    engine.dispose()
    return found


def test_what_goes_through_postgres_is_what_goes_straight_into_the_lake(
    tmp_path: Path, postgres_url: str
) -> None:
    straight, through = Lake(tmp_path / "straight"), Lake(tmp_path / "through")
    fill(tmp_path / "one", EVERYTHING)
    fill(tmp_path / "home" / "spool", EVERYTHING)
    drained = drain(tmp_path / "one", straight)
    assert collect(settings_of(tmp_path / "home", postgres_url), through) == drained
    for table in ("requests", "feedback", "exposures", "shadow_answers", "item_changes", "user_changes"):
        assert through.read(table).to_pylist() == straight.read(table).to_pylist(), table
        assert through.days(table) == straight.days(table)


def test_a_batch_that_comes_again_changes_nothing(tmp_path: Path, postgres_url: str) -> None:
    fill(tmp_path, EVERYTHING)
    pending = read(tmp_path / FILE_NAME, 100)
    assert pending is not None
    target = PostgresSink(postgres_url)
    target.put(pending)
    target.put(pending)
    target.close()
    PostgresSink(postgres_url).put(pending)
    assert rows(postgres_url) == len(EVERYTHING)


def test_an_event_reported_to_two_services_is_kept_once(tmp_path: Path, postgres_url: str) -> None:
    for name in ("one", "two"):
        fill(tmp_path / name, [click(1, user_id=name), click(name)])
        drain(tmp_path / name, PostgresSink(postgres_url))
    lake = Lake(tmp_path / "lake")
    assert pull(postgres_url, lake).feedback == 3
    assert sorted(read_feedback(lake)["event_id"].to_pylist()) == ["click-1", "click-one", "click-two"]


def test_only_what_is_new_is_brought_into_the_lake(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.event_log.postgres.BATCH_RECORDS", 7)
    settings, lake = settings_of(tmp_path, postgres_url), Lake(tmp_path / "lake")
    fill(settings.spool, [request(number) for number in range(20)])
    assert collect(settings, lake) == Drained(requests=20, impressions=40)
    assert collect(settings, lake) == Drained()
    fill(settings.spool, [request(number) for number in range(20, 25)])
    assert collect(settings, lake).requests == 5
    assert sorted(read_log(lake)["user_id"].to_pylist()) == sorted(f"user-{number}" for number in range(25))


def test_records_that_wait_are_read_without_a_file(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.event_log.postgres.BATCH_RECORDS", 7)
    settings, lake = settings_of(tmp_path, postgres_url), Lake(tmp_path / "lake")
    assert waiting(postgres_url, lake.root) is None
    fill(settings.spool, [request(number) for number in range(3)])
    collect(settings, lake)
    fill(settings.spool, [request(number) for number in range(3, 12)])
    drain(settings.spool, PostgresSink(postgres_url))
    files = lake.files("requests")
    found = waiting(postgres_url, lake.root)
    assert found is not None
    assert [one.user_id for one in found.of(Record)] == [f"user-{number}" for number in range(3, 10)]
    assert lake.files("requests") == files
    pull(postgres_url, lake)
    assert waiting(postgres_url, lake.root) is None


def test_a_learner_writes_no_file_per_poll(tmp_path: Path, postgres_url: str) -> None:
    """It learns what waits in the database."""
    served_homes.make_home(tmp_path, ())
    dataset = Dataset.load(Lake(tmp_path / "lake"), served_homes.problem())
    version = served_homes.register(tmp_path, discovery.get("thompson").recommender(), dataset)
    log = settings_of(tmp_path, postgres_url).log
    opened = Workspace(learning_homes.workspace(tmp_path).settings.model_copy(update={"log": log}))
    with learning_session(opened, version) as learning:
        for number in range(3):
            shown = learning_homes.shown(number, version.id, 1_000.0 * number, ["item-00"])
            learning_homes.log(tmp_path, [shown])
            learned = learning.step(learning_homes.END + 1_000.0 * (number + 1), whole=number == 0)
            assert (learned.requests, learned.replayed) == (1, False)
    assert opened.lake.files("requests") == []


def test_a_pull_that_was_killed_is_continued(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(tmp_path / "one", [request(number, occurred_at=NOON + 86_400 * number) for number in range(3)])
    drain(tmp_path / "one", PostgresSink(postgres_url))
    write, left = Lake.write_day, [1]

    def dying(*arguments: object, **named: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("killed")
        write(*arguments, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "write_day", dying)
        with pytest.raises(OSError, match="killed"):
            pull(postgres_url, lake)
    fill(tmp_path / "one", [request(3)])
    drain(tmp_path / "one", PostgresSink(postgres_url))
    pull(postgres_url, lake)
    assert sorted(read_log(lake)["request_id"].to_pylist()) == [f"{number:032x}" for number in range(4)]


def test_text_that_postgres_can_not_hold_does_not_stop_the_rest(tmp_path: Path, postgres_url: str) -> None:
    fill(tmp_path, [click("nul\0"), request(1, user_id="a\0b", context={"k\0": "\0"}), click(2)])
    drain(tmp_path, PostgresSink(postgres_url))
    assert rows(postgres_url) == 3


def test_any_other_text_is_stored_as_it_is(tmp_path: Path, postgres_url: str) -> None:
    """What delimits, quotes or ends a value or a row of COPY, and what looks like a missing value."""
    texts = ("\x01", "\x01\x01", '"', ",", "\n", "\r\n", "\\", "\\.", "\\N", "", " ", "\x02\x7f", "é\u2028🛍")
    written = [click(n, user_id=text, item_id=text) for n, text in enumerate(texts)]
    fill(tmp_path, [*written, *(click(text) for text in texts)])
    drain(tmp_path, PostgresSink(postgres_url))
    found = {one.event_id: one for one in newest(postgres_url, FeedbackRecord)}
    assert [found[one.event_id] for one in written] == written
    assert {f"click-{text}" for text in texts} < set(found)
    with closing(connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT key, user_id FROM log_records WHERE number <= %s", (len(texts),))
        assert sorted(cursor.fetchall()) == sorted((one.event_id, one.user_id) for one in written)


def test_a_request_that_is_erased_before_it_is_pulled_leaves_a_running_guard(
    tmp_path: Path, postgres_url: str
) -> None:
    """And one that is pulled stays, also where both lie in the spool first."""
    settings = settings_of(tmp_path / "home", postgres_url)
    assignment = Assignment("ranker", 0, "a", probability=0.5)
    number, asked = "SELECT count(*) FROM assigned", NOON - 60
    with closing(AssignedRequests(settings)) as requests:

        def counted() -> int:
            requests.read(NOON - 86_400)
            return int(requests.connection.execute(number).fetchall()[0][0])

        fill(settings.spool, [request(n, assignment=assignment, occurred_at=asked) for n in (1, 2, 3)])
        assert counted() == 3
        drain(settings.spool, PostgresSink(postgres_url))
        assert counted() == 3
        with closing(connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM log_records WHERE key = %s", (f"{2:032x}",))
        assert counted() == 2
        pull(postgres_url, Lake(settings.lake))
        assert counted() == 2


def test_a_request_is_found_wherever_it_is(tmp_path: Path, postgres_url: str) -> None:
    wanted = request(1, exclude=["pot"], fallback="model_short", stage="popular")
    settings = settings_of(tmp_path / "home", postgres_url)
    assert find(wanted.request_id, settings) is None
    fill(settings.spool, [wanted, request(2)])
    assert find(wanted.request_id, settings) == wanted
    drain(settings.spool, PostgresSink(postgres_url))
    assert find(wanted.request_id, settings) == wanted
    at_home = settings_of(tmp_path / "home")
    assert find(wanted.request_id, at_home) is None
    pull(postgres_url, Lake(at_home.lake))
    assert find(wanted.request_id, at_home) == wanted


def test_the_command_ships_and_counts(tmp_path: Path, postgres_url: str) -> None:
    fill(tmp_path / "spool", EVERYTHING)
    environment = {
        "TASTEMAKER_HOME": str(tmp_path),
        "TASTEMAKER_LOG__TARGET": "postgres",
        "TASTEMAKER_LOG__URL": postgres_url,
    }
    result = CliRunner().invoke(ship, ["--json"], env=environment, catch_exceptions=False)
    counts = {"requests": 2, "feedback": 2, "changes": 2, "exposures": 1, "shadows": 1}
    assert json.loads(result.stdout) == counts
    again = CliRunner().invoke(ship, [], env=environment, catch_exceptions=False)
    assert again.stdout == "0 requests, 0 feedback, 0 changes, 0 exposures, 0 shadows moved to postgres\n"


def test_the_error_for_an_unavailable_database_has_no_password(tmp_path: Path) -> None:
    fill(tmp_path / "spool", [click(1)])
    url = "postgresql://shop:secret@127.0.0.1:1/logs"
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/logs can't be used") as caught:
        collect(settings_of(tmp_path, url), Lake(tmp_path / "lake"))
    assert "secret" not in str(caught.value)
    pending = read(tmp_path / "spool" / FILE_NAME, 10)
    assert pending is not None
    assert pending.records == [click(1)]


def test_a_run_continues_with_what_it_has_while_the_database_is_away(tmp_path: Path) -> None:
    fill(tmp_path / "spool", [click(1)])
    settings = settings_of(tmp_path, "postgresql://shop:secret@127.0.0.1:1/logs")
    outcome = run(settings, select="served_requests")
    assert outcome.success
    assert "127.0.0.1:1/logs can't be used" in outcome.steps["served_requests"].facts["away"]


def test_following_continues_until_it_is_stopped(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.event_log.shipping.POLL_SECONDS", 0.01)
    settings, stop = settings_of(tmp_path, postgres_url), Event()
    moved: list[Drained] = []

    def follow_while(work: Callable[[], None]) -> None:
        thread = Thread(target=lambda: follow(settings, stop, progress=moved.append, on_failure=print))
        thread.start()
        work()
        stop.set()
        thread.join()

    def work() -> None:
        for number in range(3):
            fill(settings.spool, [click(number)])
            while read(settings.spool / FILE_NAME, 1):
                time.sleep(0.01)

    follow_while(work)
    assert rows(postgres_url) == 3
    assert sum(each.feedback for each in moved) == 3
    assert drains.drain(settings.spool, PostgresSink(postgres_url)) == Drained()


def test_assignments_go_through_postgres_beside_records_of_the_release_before(
    tmp_path: Path, postgres_url: str
) -> None:
    """The database was made and filled by the release before; this one upgrades it and adds its own."""
    assignment = Assignment("ranker-v2", 3, "treatment", 0.1, "control", "0123456789abcdef", "user-2")
    old, new = request(1), request(2, assignment=assignment)
    older = create_engine(postgres_url)
    with older.begin() as connection:
        upgrade(connection, LOGS_REVISION)
        fields = msgspec.to_builtins(old)
        del fields["assignment"]
        connection.execute(
            text(
                "INSERT INTO log_records (kind, key, user_id, at, record) "
                "VALUES ('request', :key, :user, to_timestamp(:at), :record)"
            ),
            {"key": old.request_id, "user": old.user_id, "at": old.occurred_at, "record": json.dumps(fields)},
        )
    older.dispose()
    settings, lake = settings_of(tmp_path / "home", postgres_url), Lake(tmp_path / "lake")
    fill(settings.spool, [new])
    assert collect(settings, lake).requests == 2
    for wanted in (old, new):
        assert find(wanted.request_id, settings) == wanted, "in the database"
    found = read_log(lake).select(ASSIGNMENT.names).to_pylist()
    assert found == [
        dict.fromkeys(ASSIGNMENT.names),
        {
            "experiment": "ranker-v2",
            "epoch": 3,
            "variant": "treatment",
            "variant_probability": 0.1,
            "variant_served": "control",
            "plan_digest": "0123456789abcdef",
            "unit": "user-2",
        },
    ]
