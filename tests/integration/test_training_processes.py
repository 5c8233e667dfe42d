"""A training that uses too much memory, or whose process dies, ends that training and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.plugin_sites import Site, model
from support.tuning_worlds import world
from tastemaker.errors import TastemakerError
from tastemaker.evaluation import failures
from tastemaker.plugins import discovery
from tastemaker.trainings.records import FAILED, KILLED, RUNNING, UNCHANGED, Reason
from tastemaker.workflows.training.trainer import Run, Trainer
from tastemaker.workflows.workspace import Workspace

LIMIT = 700 << 20
GREEDY = """import time
        held = []
        while len(held) < 64:  # 2 GiB, so slowly that it is seen
            held.append(np.ones(4 << 20))
            time.sleep(0.02)"""
MODELS = {
    "small": model("small"),
    "greedy": model("greedy", fit=GREEDY),
    "gone": model("gone", fit="import os; os._exit(3)"),
    "shot": model("shot", fit="import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
    "crashed": model("crashed", fit="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
    "parental": model(
        "parental",
        fit="import subprocess, sys, time; hold = 'import time; h = b\"1\" * (800 << 20); time.sleep(60)'; "
        "subprocess.Popen([sys.executable, '-c', hold]); time.sleep(60)",
    ),
}
TRAIN = """
import os, sys
from tastemaker.plugins import discovery
from tastemaker.trainings.records import Reason
from tastemaker.workflows.training.trainer import Run, Trainer
from tastemaker.workflows.workspace import Workspace

if __name__ == "__main__":
    trainer = Trainer(Workspace.open())
    trainer.read_data()
    print(trainer._child._process.pid, flush=True)
    trainer.backtest(discovery.get("slow"), Run("killed", (Reason("requested", "a test"),)))
"""
TRAIN_ONE = """
import sys
from tastemaker.plugins import discovery
from tastemaker.trainings.records import Reason
from tastemaker.workflows.training.trainer import Run, Trainer
from tastemaker.workflows.workspace import Workspace

if __name__ == "__main__":
    trainer = Trainer(Workspace.open())
    trainer.backtest(discovery.get(sys.argv[1]), Run("one", (Reason("requested", "a test"),)))
    if sys.argv[2] == "closed":
        trainer.close()
"""
RUN = Run("run", (Reason("stale", "8 days old"),))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = Site(tmp_path_factory.mktemp("site"))
    others = {
        "slow": model("slow", fit="import time; time.sleep(60)"),
        "locking": model("locking", fit="import multiprocessing as m; m.current_process().held = m.RLock()"),
        "lasting": model(
            "lasting",
            fit="import subprocess, pathlib; found = subprocess.Popen(['sleep', '600']); "
            "pathlib.Path('left.txt').write_text(str(found.pid))",
        ),
    }
    for name, source in (MODELS | others).items():
        found.install(f"dist_{name}", {name: f"training_{name}:Model"}, **{f"training_{name}": source})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(found.folder))
        yield found.folder


@pytest.fixture(scope="module")
def trained(
    site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, dict[str, str]]]:
    """A home in which each model was trained, and why those that failed did."""
    opened = world(tmp_path_factory.mktemp("home"), automation={"training_memory_bytes": LIMIT})
    trainer, reasons = Trainer(opened), dict[str, str]()
    try:
        for name in (*MODELS, "small"):
            plugin = discovery.get(name)
            try:
                trainer.backtest(plugin, RUN)
                trainer.train(plugin, RUN)
            except TastemakerError as error:
                reasons[name] = str(error)
        yield opened, reasons
    finally:
        trainer.close()


def test_each_failure_names_what_was_used_the_limit_and_the_fix(
    trained: tuple[Workspace, dict[str, str]],
) -> None:
    _, reasons = trained
    assert set(reasons) == set(MODELS) - {"small"}
    for name in ("greedy", "parental"):
        assert f"the training of {name} was ended: it used " in reasons[name]
        assert "and may use 734 MB (automation.training_memory_bytes)" in reasons[name]
        assert "fix: set automation.training_memory_bytes" in reasons[name]
    assert "exit status 3" in reasons["gone"]
    assert "SIGSEGV" in reasons["crashed"]
    assert "killed from outside, most likely by the system for lack of memory" in reasons["shot"]


def test_the_others_are_trained_and_all_is_recorded(trained: tuple[Workspace, dict[str, str]]) -> None:
    opened, reasons = trained
    rows = {name: opened.training_records.of(name, 1)[0] for name in MODELS}
    assert {name: row.outcome for name, row in rows.items()} == {
        name: UNCHANGED if name == "small" else FAILED for name in MODELS
    }
    assert rows["small"].reasons == RUN.reasons
    assert {name: row.problem_text for name, row in rows.items() if name != "small"} == reasons
    listed = {one.model: one.reason for one in failures.load(opened.engine, opened.problem.name)}
    assert listed == reasons, "what the leaderboard shows"
    assert (rows["greedy"].peak_bytes or 0) > LIMIT
    assert 50 << 20 < (rows["small"].peak_bytes or 0) < LIMIT
    assert opened.registry.newest("small").id == rows["small"].version_id


def test_what_cannot_fit_is_refused_before_it_starts(trained: tuple[Workspace, dict[str, str]]) -> None:
    """By the memory that the training used before it was ended."""
    opened, _ = trained
    trainer = Trainer(opened)
    with pytest.raises(TastemakerError, match="is not trained: for 1,200 events it needs about") as refused:
        trainer.backtest(discovery.get("greedy"), Run("later", RUN.reasons))
    trainer.close()
    assert "may use 734 MB" in str(refused.value)
    [row] = opened.training_records.of("greedy", 1)
    assert (row.run_id, row.outcome, row.peak_bytes) == ("later", FAILED, None)
    assert row.estimated_bytes is not None
    assert row.estimated_bytes > LIMIT


def train_one(model: str, end: str, site: Path, folder: Path) -> str:
    """Run a model's backtest as a command of its own, and return what it printed."""
    opened = world(folder / "home")
    script = folder / "train_one.py"
    script.write_text(TRAIN_ONE)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
        "TASTEMAKER_HOME": str(opened.settings.home),
        "TASTEMAKER_PROBLEM": str(opened.settings.problem),
    }
    done = subprocess.run(
        [sys.executable, script, model, end],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("end", ["closed", "left open"])
def test_an_idle_process_gives_back_its_semaphores(end: str, site: Path, tmp_path: Path) -> None:
    """As tqdm's, which implicit makes: Python would warn of leaked ones at the end of the run."""
    assert train_one("locking", end, site, tmp_path) == ""


def test_what_a_model_started_ends_with_the_idle_process(site: Path, tmp_path: Path) -> None:
    assert train_one("lasting", "closed", site, tmp_path) == ""
    left = int((tmp_path / "left.txt").read_text())
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_a_killed_run_leaves_no_process_and_is_recognized(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = world(tmp_path / "home")
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    environment = os.environ | {
        "PYTHONPATH": str(site),
        "TASTEMAKER_HOME": str(opened.settings.home),
        "TASTEMAKER_PROBLEM": str(opened.settings.problem),
    }
    with subprocess.Popen(
        [sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        while not (found := opened.training_records.of("slow", 1)):
            assert run.poll() is None
        assert found[0].outcome == RUNNING
        run.send_signal(signal.SIGKILL)
    while _runs(child):
        pass
    [row] = opened.training_records.of("slow", 1)
    assert (row.outcome, row.ended_at) == (KILLED, None)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
