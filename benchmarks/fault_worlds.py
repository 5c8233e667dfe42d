"""The homes, services and other processes that the faults of `fault_rules.py` befall."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
import redis
from sqlalchemy import select

from support import servers, small_shop
from support.drift_worlds import DriftWorld
from support.home_copies import copy_home
from support.repository import ROOT
from support.servers import free_port
from support.shop_homes import CONFIG, make_shop_home
from support.small_disks import mounted
from support.visited_service import BIN, Service, environment, until
from tastemaker.settings import Settings
from tastemaker.simulator.faults.catalogue import Fault
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shifts import Shift, ShiftKind
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import queue_lengths
from tastemaker.workflows.faults.hung_processes import processes

LIMITS = {
    "memory": {"memory/{}/memory.limit_in_bytes": "1000000000", "{}/memory.max": "1000000000"},
    "cpu": {"cpu/{}/cpu.cfs_quota_us": "25000", "{}/cpu.max": "25000 100000"},
    "traffic_gone": {"cpu/{}/cpu.cfs_quota_us": "40000", "{}/cpu.max": "40000 100000"},
}
"""File of a control group, version 1 and 2, for a limit -> its text: 1 GB, a quarter of a processor, and
two fifths."""
EXPERIMENT = "faults"
QUEUE = "dagster"
TODAY = datetime.now(UTC).date()
SHOP = CONFIG.model_copy(update={"dated": TODAY - timedelta(days=CONFIG.n_days)})
"""A shop whose newest day is yesterday."""
CLOSED_DAYS = 60
"""How long a shop that closed has delivered nothing."""
DAEMON_SECONDS = 120.0
"""After which a daemon of Dagster's that does not report is silent here: its reports are read each minute."""
LATE_SECONDS = 90.0
"""Seconds from the begin of traffic to the time at which a job is late here."""


def taking_part(models: str) -> dict[str, str]:
    """Return the environment variables that name the models that take part where all assets run."""
    return {
        "TASTEMAKER_MODELS__ENABLED": models,
        "TASTEMAKER_MODELS__RANKER": json.dumps(small_shop.RANKER),
    }


def source(shop: ShopConfig) -> dict[str, str]:
    """Return the environment variables that name a shop as the source."""
    options = shop.model_dump(mode="json", exclude_defaults=True)
    return {"TASTEMAKER_SOURCE__OPTIONS": json.dumps(options)}


@dataclass
class World:
    """A home folder, and what runs on it until `stack` is closed."""

    fault: Fault
    folder: Path
    stack: ExitStack
    more: dict[str, str] = field(default_factory=lambda: source(SHOP))
    """Further environment variables of all processes."""
    service: Mapping[str, str] = field(default_factory=dict)
    """Those of the service alone."""
    watch: dict[str, str] = field(default_factory=dict)
    """Those of the watch alone."""
    url: str = ""
    """Of the service; empty without one."""
    watch_port: int = 0
    days: DriftWorld = field(init=False)
    """The days that a shop was served; of worlds without a service alone."""

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.folder / "home"

    def run(self, *words: str, failing: bool = False) -> str:
        """Run a command to its end and return what it prints."""
        return _run(self.home, self.more, *words, failing=failing)

    def start(self, *words: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command that ends with the world."""
        with (self.home / "processes.log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / words[0]) if "/" not in words[0] else words[0], *words[1:]],
                cwd=self.home, env=environment(self.home, {**self.more, **(more or {})}), stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        self.stack.callback(_end, process)
        return process

    def serve(self, *words: str) -> Service:
        """Start a service, and return it once it is ready."""
        port = free_port()
        process = self.start(*words, "--port", str(port), more=self.service)
        service = Service(process, port, self.home / "processes.log")
        self.stack.callback(service.close)
        service.wait()
        self.url = service.url
        return service


def _run(home: Path, more: Mapping[str, str], *words: str, failing: bool = False) -> str:
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=home, env=environment(home, more), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode and not failing:
        raise RuntimeError(f"{' '.join(words)} failed:\n{(done.stderr or done.stdout)[-2_000:]}")
    return done.stdout.strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve_faulty(world: World) -> None:
    """Serve the model that fails on demand, with limits where the fault needs them."""
    if world.fault.name == "disk":
        world.stack.enter_context(mounted(world.home, "300m"))
    make_shop_home(world.home, config=SHOP)
    prepare_faulty(world)
    before = "ulimit -n 1024"
    if world.fault.name in LIMITS:
        group = world.stack.enter_context(control_group(LIMITS[world.fault.name]))
        before += f" && echo $$ > {group}/cgroup.procs"
    world.serve("/bin/sh", "-c", f'{before} && exec "$0" "$@"', str(BIN / "tastemaker"), "serve", "faulty")


def prepare_faulty(world: World) -> None:
    """Register a version of the model `faulty`, which all further commands know."""
    world.more["PYTHONPATH"] = world.run("tastemaker", "simulate", "--prepare-faults")


def serve_shipped(world: World) -> None:
    """Do the same, with a shipper beside it."""
    serve_faulty(world)
    world.start("tastemaker", "ship", "--follow")


def run_shop(world: World, shop: ShopConfig = SHOP, models: str = "popularity,ranker") -> None:
    """Make a home in which all assets ran, without a service."""
    world.more |= source(shop) | taking_part(models)
    copy_home(_ran(shop, models), world.home)


@cache
def _ran(shop: ShopConfig, models: str) -> Path:
    """Return such a home, which is deleted with this process. A run takes a minute."""
    folder = Path(tempfile.mkdtemp(prefix="tastemaker-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "home"
    make_shop_home(home, config=shop)
    _run(home, source(shop) | taking_part(models), "tastemaker", "run")
    return home


def run_shop_before(world: World) -> None:
    """Do the same on the day before, so that the shop's newest day is still to be delivered."""
    run_shop(world, SHOP.model_copy(update={"n_days": SHOP.n_days - 1}))


def run_closed_shop(world: World) -> None:
    """Do the same where the shop closed long ago, and measure what a version loses with its age.

    Many items are launched and withdrawn, so that a version loses much.
    """
    closed = SHOP.model_copy(
        update={
            "items_launched_per_day": 0.03,
            "items_withdrawn_per_day": 0.03,
            "n_days": SHOP.n_days + CLOSED_DAYS,
            "dated": TODAY - timedelta(days=SHOP.n_days + CLOSED_DAYS),
            "shifts": (Shift(kind="closed", day=SHOP.n_days),),
        }
    )
    run_shop(world, closed, "popularity")
    promote(world, newest(world, "popularity"))
    world.run("tastemaker", "learning-curve", "popularity", "--weeks", "2")


def serve_ranker(world: World) -> None:
    """Serve a ranker, which reads its features from a real online store."""
    run_shop(world)
    world.more |= {"TASTEMAKER_SERVING__FEATURES_CACHE_SECONDS": "0"}
    world.serve("tastemaker", "serve", "ranker")


def serve_champion(world: World) -> None:
    """Serve a champion that was compared with the baseline."""
    run_shop(world)
    promote(world, newest(world, "ranker"))
    world.serve("tastemaker", "serve", "ranker")


def serve_bandit(world: World) -> None:
    """Serve a bandit, with its learner."""
    make_shop_home(world.home, ["thompson"], config=SHOP)
    world.more |= {
        "TASTEMAKER_LEARNING__FEEDBACK_DELAY_SECONDS": "5",
        "TASTEMAKER_LEARNING__POLL_SECONDS": "1",
    }
    world.serve("tastemaker", "serve", "thompson")
    world.start("tastemaker", "ship", "--follow")
    world.start("tastemaker", "learn", "thompson", "--follow")


def control_experiment(world: World) -> None:
    """Run an experiment of two versions of the model `faulty`, by a controller and its guard."""
    make_shop_home(world.home, config=SHOP)
    prepare_faulty(world)
    promote(world, newest(world, "faulty"))
    prepare_faulty(world)
    world.run(
        "tastemaker", "experiment", "new", EXPERIMENT, "--variant", f"b=faulty@{newest(world, 'faulty')}",
        "--hypothesis", "no difference", "--planned-units", "2000", "--primary", "reward_per_user",
        "--by", "benchmark",
    )  # fmt: skip
    words = ("--by", "benchmark", "--reason", "a benchmark")
    world.run("tastemaker", "experiment", "ready", EXPERIMENT, *words)
    world.run("tastemaker", "experiment", "start", EXPERIMENT, *words, "--confirm", "aa")
    for _ in range(3):  # until all users take part
        world.run(
            "tastemaker", "experiment", "step", EXPERIMENT, *words,
            "--confirm", "duration", "--confirm", "guardrails",
        )  # fmt: skip
    world.serve("tastemaker", "control")


def promote(world: World, version: str) -> None:
    """Make a version the champion."""
    world.run("tastemaker", "models", "promote", version, "--force", "the champion of a benchmark")


def newest(world: World, model: str) -> str:
    """Return the id of the newest version of a model."""
    return max(path.name for path in (world.home / "artifacts" / model).iterdir() if path.is_dir())


def orchestrate(world: World) -> None:
    """Run all assets, start Dagster's daemon, and serve a model.

    The nightly job is late, and the daemon silent, soon after what is healthy here.
    """
    run_shop(world)
    ran_at = time.time()
    world.more |= {"DAGSTER_HOME": str(world.home / "dagster")}
    world.start("dagster-daemon", "run", "-m", "tastemaker_pipelines.definitions")
    world.serve("tastemaker", "serve", "popularity")
    until(lambda: _observes(world), "the daemon does not report its queue")
    world.watch |= {
        "TASTEMAKER_ALERTS__JOB_LATE__ABOVE_SECONDS": str(time.time() - ran_at + LATE_SECONDS),
        "TASTEMAKER_ALERTS__ORCHESTRATOR_SILENT__ABOVE_SECONDS": str(DAEMON_SECONDS),
    }


def _observes(world: World) -> bool:
    """Return whether the daemon has reported its queue."""
    engine = open_engine(Settings(home=world.home).metadata_url)
    try:
        with engine.connect() as connection:
            return connection.execute(select(queue_lengths)).first() is not None
    finally:
        engine.dispose()


def orchestrate_runs(world: World) -> None:
    """Do the same, with runs that have begun."""
    orchestrate(world)
    settings = Settings(home=world.home)
    for _ in range(settings.orchestrator.max_concurrent_runs):
        launch(world)
    until(
        lambda: (
            len(list(processes("run_hang", settings, world.url))) == settings.orchestrator.max_concurrent_runs
        ),
        "the runs do not begin",
    )


def launch(world: World) -> None:
    """Launch a run of all assets."""
    world.run("dagster", "job", "launch", "-m", "tastemaker_pipelines.definitions", "-j", "everything")


def launch_more(world: World) -> None:
    """Launch more runs than may be executed at once."""
    for _ in range(4):
        launch(world)


def execute(world: World) -> None:
    """Make a queue of Celery's on a real Redis, and start what stands for a worker of it."""
    make_shop_home(world.home, config=SHOP)
    world.serve("tastemaker", "serve", "popularity")
    _, url = world.stack.enter_context(servers.redis())
    world.more |= {"CELERY_BROKER_URL": url, "TASTEMAKER_WATCH__CELERY__QUEUES": QUEUE}
    code = "import redis, sys\nwhile True: redis.Redis.from_url(sys.argv[1]).brpop(sys.argv[2])"
    world.start(sys.executable, "-c", code, url, QUEUE, "celery", "worker")


def fill_queue(world: World) -> None:
    """Put tasks into the queue, more than the rule allows, once its worker hangs."""
    settings = Settings(home=world.home)
    workers = list(processes("executor_hang", settings, world.url))
    until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in workers), "the worker does not hang")
    with redis.Redis.from_url(world.more["CELERY_BROKER_URL"]) as client:
        client.lpush(QUEUE, *[f"task {number}" for number in range(200)])


def deliver(kind: ShiftKind, size: float = 1.0) -> Callable[[World], None]:
    """Return what delivers the shop's newest day with a shift, and runs all assets."""

    def run(world: World) -> None:
        shift = Shift(kind=kind, day=SHOP.n_days - 1, size=size)
        world.more |= source(SHOP.model_copy(update={"shifts": (shift,)}))
        world.run("tastemaker", "run", failing=True)

    return run


def run_later(seconds: float, *commands: tuple[str, ...]) -> Callable[[World], None]:
    """Return what lets the fault last for a while, and runs commands then, which may fail."""

    def run(world: World) -> None:
        time.sleep(seconds)
        for words in commands:
            world.run(*words, failing=True)

    return run


@contextmanager
def control_group(limits: Mapping[str, str]) -> Iterator[Path]:
    """Make a control group with a limit; else skip.

    Args:
        limits: File of the limit in either version, {} for the group's name -> its text.
    """
    for place, text in limits.items():
        file = Path("/sys/fs/cgroup") / place.format(f"tastemaker-{uuid4().hex[:8]}")
        try:
            file.parent.mkdir()
            file.write_text(text)
        except OSError:
            continue
        try:
            yield file.parent
        finally:
            file.parent.rmdir()
        return
    pytest.skip("no control group with a limit can be made here")


def watch(world: World, settings: Mapping[str, str], *, windows: bool) -> None:
    """Start a watch with short waits, which notifies no person."""
    world.watch_port = free_port()
    more = {"TASTEMAKER_WATCH__PORT": str(world.watch_port)}
    if world.url:
        more["TASTEMAKER_WATCH__TARGETS"] = world.url
    path = [str(ROOT / "tests"), *filter(None, [world.more.get("PYTHONPATH")])]
    more |= {"PYTHONPATH": os.pathsep.join(path), **world.watch, **settings}
    world.start(sys.executable, "-m", "support.short_waits", *["--windows"][: int(windows)], more=more)


def watch_metrics(world: World) -> str:
    """Return the metrics of the watch itself, which Prometheus scrapes."""
    return httpx.get(f"http://127.0.0.1:{world.watch_port}/metrics", timeout=30).text
