"""Dagster's instance: what its dagster.yaml says, runs whose process is gone, and runs of long ago."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import dagster as dg
import pytest

from tastemaker.errors import TastemakerError
from tastemaker.orchestrator_settings import OrchestratorSettings
from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock
from tastemaker_pipelines import run_processes
from tastemaker_pipelines.dagster_yaml import FORMER, WRITTEN
from tastemaker_pipelines.instance import dagster_home, open_instance
from tastemaker_pipelines.old_runs import delete_old_runs
from tastemaker_pipelines.run_processes import REASON, end_lost_runs, run_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # libraries of libraries
]
POOL = "training"


@dg.asset(pool=POOL)
def model() -> None:
    """Nothing."""


@dg.asset
def leaderboard() -> None:
    """Nothing."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return Settings(home=tmp_path / "home")


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    job = dg.Definitions([model]).resolve_implicit_global_asset_job_def()
    return instance.create_run_for_job(job, status=status).run_id


def test_the_instance_retries_killed_runs_and_limits_pools(settings: Settings) -> None:
    settings = settings.model_copy(
        update={"orchestrator": OrchestratorSettings(max_retries=3, pool_limit=2, max_concurrent_runs=4)}
    )
    with open_instance(settings) as instance:
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 3)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        limits = instance.get_concurrency_config()
        assert limits.pool_config.default_pool_limit == 2
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.max_concurrent_runs == 4
        assert not instance.telemetry_enabled


@pytest.mark.parametrize(
    ("given", "meant"),
    [("runs", "{here}/runs"), ("./my runs", "'{here}/my runs'"), ("~/runs", "{here}/me/runs")],
)
def test_a_relative_dagster_home_is_refused_with_the_absolute_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    """Dagster's own commands refuse it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("DAGSTER_HOME", given)
    with pytest.raises(TastemakerError) as raised:
        open_instance(settings)
    assert str(raised.value).splitlines() == [
        f"the environment variable DAGSTER_HOME is {given!r}, must be an absolute path",
        f"  fix: export DAGSTER_HOME={meant.format(here=tmp_path)}",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variable", [True, False], ids=["the variable's", "the home folder's"])
def test_a_file_in_place_of_the_folder_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    place = settings.home / "dagster"
    settings.home.mkdir()
    place.write_text("not a folder")
    if variable:
        monkeypatch.setenv("DAGSTER_HOME", str(place))
    with pytest.raises(TastemakerError, match=f"{place} is not a folder") as raised:
        open_instance(settings)
    assert ("DAGSTER_HOME" in str(raised.value)) == variable


@pytest.mark.parametrize(
    ("before", "is_replaced"),
    [(FORMER, True), (WRITTEN + "telemetry: {enabled: true}\n", True), ("nux: {enabled: false}\n", False)],
)
def test_a_file_that_a_person_changed_stays(settings: Settings, before: str, is_replaced: bool) -> None:
    config = settings.home / "dagster" / "dagster.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(before)
    dagster_home(settings)
    assert (config.read_text() != before) == is_replaced
    with open_instance(settings) as instance:
        assert instance.run_retries_enabled == is_replaced
    assert (settings.home / "dagster" / "history" / "runs.db").exists(), "in the home folder in each case"


def test_a_process_that_opens_the_instance_can_be_ended(settings: Settings) -> None:
    """Of Dagster's commands in the background of a script, it is the first of our code that runs."""
    both = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(one, signal.SIG_IGN) for one in both]
    try:
        with open_instance(settings):
            assert [signal.getsignal(one) for one in both] == [signal.default_int_handler] * 2
    finally:
        for one, handler in zip(both, before, strict=True):
            signal.signal(one, handler)


def test_a_changed_file_needs_no_dagster_home(settings: Settings) -> None:
    config = dagster_home(settings) / "dagster.yaml"
    config.write_text(config.read_text().removeprefix(WRITTEN).replace("max_retries: 2", "max_retries: 7"))
    with open_instance(settings) as instance:
        assert instance.run_retries_max_retries == 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("storage: [\n", "while parsing a flow node"),
        ("just text\n", "a mapping is expected where 'just text' is"),
        ("storage: 3\n", "a mapping is expected where 3 is"),
        ("telemetry: {enabled: false}\nfoo: bar\n", 'Received unexpected config entry "foo" at the root'),
        ("storage: {custom: {module: gone, class: Gone}}\n", "Couldn't import module gone"),
    ],
)
def test_a_file_that_dagster_can_not_use_is_named(settings: Settings, text: str, reason: str) -> None:
    config = settings.home / "dagster" / "dagster.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(text)
    with pytest.raises(TastemakerError) as raised:
        open_instance(settings)
    assert str(raised.value.problem).startswith(f"{config.resolve()} can't be used: {reason}")
    assert "Expected: " not in raised.value.problem
    assert "delete it" in str(raised.value.fix)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://ada:secret@127.0.0.1:1/dagster", "Connection refused"),
        ("not a url", "Could not parse SQLAlchemy URL"),
    ],
)
def test_a_database_that_does_not_answer_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    monkeypatch.setenv("TASTE_RUNS_URL", url)
    orchestrator = OrchestratorSettings(postgres_variable="TASTE_RUNS_URL")
    with pytest.raises(TastemakerError, match=reason) as raised:
        open_instance(settings.model_copy(update={"orchestrator": orchestrator}))
    assert raised.value.problem.startswith("the orchestrator's database, whose URL is in TASTE_RUNS_URL")
    assert "secret" not in str(raised.value)


def test_without_its_variable_there_is_no_postgres(settings: Settings) -> None:
    orchestrator = OrchestratorSettings(postgres_variable="TASTE_RUNS_URL")
    with pytest.raises(TastemakerError, match="TASTE_RUNS_URL") as raised:
        open_instance(settings.model_copy(update={"orchestrator": orchestrator}))
    assert "postgresql://" in str(raised.value.fix)


def test_a_run_whose_process_is_gone_has_failed_and_holds_no_place(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    lost, alive = (run_of(instance, dg.DagsterRunStatus.STARTED) for _ in range(2))
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(POOL)
    assert storage.claim_concurrency_slot(POOL, lost, "model").is_claimed
    processes = settings.home / "dagster" / "processes"
    with run_process(settings, instance, alive):
        (processes / lost).touch()
        assert end_lost_runs(settings, instance) == [lost], "however short ago it began"
        assert end_lost_runs(settings, instance) == []
    statuses = {one.run_id: one.status for one in instance.get_runs()}
    assert statuses == {lost: dg.DagsterRunStatus.FAILURE, alive: dg.DagsterRunStatus.STARTED}
    assert REASON in [entry.message for entry in instance.all_logs(lost)]
    assert storage.claim_concurrency_slot(POOL, alive, "model").is_claimed
    assert list(processes.iterdir()) == []


def test_a_process_that_begins_is_not_taken_for_one_that_is_gone(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process looks between the creation of the file and its lock."""
    begins = run_of(instance, dg.DagsterRunStatus.STARTED)
    looked: Queue[list[str]] = Queue()
    look = Thread(target=lambda: looked.put(end_lost_runs(settings, instance)))

    @contextmanager
    def slow_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
        if path.name == begins and not look.ident:
            path.parent.mkdir(parents=True)
            path.touch()
            look.start()
            with pytest.raises(Empty):
                looked.get(timeout=0.2)
        with file_lock(path, wait=wait):
            yield

    monkeypatch.setattr(run_processes, "file_lock", slow_lock)
    with run_process(settings, instance, begins):
        assert looked.get(timeout=60) == []
    look.join()
    assert [one.status for one in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]


def test_a_run_of_another_instance_is_left_to_it(settings: Settings, instance: dg.DagsterInstance) -> None:
    lost = run_of(instance, dg.DagsterRunStatus.STARTED)
    file = settings.home / "dagster" / "processes" / lost
    file.parent.mkdir()
    file.touch()
    with dg.DagsterInstance.ephemeral() as other:
        assert end_lost_runs(settings, other) == []
    assert end_lost_runs(settings, instance) == [lost]
    assert not file.exists()


@pytest.mark.processes
def test_old_runs_are_deleted_but_the_newest_of_each_asset(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    both, only_model, newest = (
        dg.materialize(assets, instance=instance).run_id
        for assets in ([model, leaderboard], [model], [model])
    )
    running = run_of(instance, dg.DagsterRunStatus.STARTED)
    later = datetime.now(UTC) + timedelta(days=91)
    assert delete_old_runs(instance, 92, later) == 0
    assert delete_old_runs(instance, 90, later) == 1
    assert {one.run_id for one in instance.get_runs()} == {both, newest, running}, only_model
    for asset, run_id in ((model, newest), (leaderboard, both)):
        event = instance.get_latest_materialization_event(asset.key)
        assert event is not None
        assert event.run_id == run_id
    stored = [path.name for path in (settings.home / "dagster").rglob(f"*{only_model}*")]
    assert stored == []
