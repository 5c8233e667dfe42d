"""A service that starts while its disk is full answers, and opens its log by itself once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support import scenarios, visited_service
from support.bento_servers import run, running
from support.request_logs import click, request
from support.scenarios import fill_up
from support.served_homes import make_home
from support.small_disks import mounted
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import Drained, drain
from tastemaker.event_log.spool import Spool, SpoolError
from tastemaker.event_log.spool_file import FILE_NAME, create
from tastemaker.serving.http.api_keys import SLOTS
from tastemaker.serving.http.routes import ROUTES
from tastemaker.util.rate_limit import RateLimiter


def no_folder(spool: Path) -> Path:
    """It can't be made as there are no more files to be had."""
    subprocess.run(["mount", "-o", "remount,nr_inodes=2", spool], check=True)
    return spool / "folder"


def no_file(spool: Path) -> Path:
    """The file can be made, and nothing be written to it."""
    return spool


def without_room_beside_it(spool: Path) -> Path:
    """What was logged is there; what SQLite needs beside it to write more is not."""
    with Spool(spool) as before:
        before.append(click("before")).result()
    return spool


FULL = [no_folder, no_file, without_room_beside_it]


@pytest.mark.parametrize("full", FULL)
def test_a_spool_without_room_for_its_file_keeps_what_is_offered_until_there_is(
    small_disk: Path, full: Callable[[Path], Path]
) -> None:
    folder = full(small_disk)
    fill_up(small_disk / "ballast")
    with Spool(folder) as spool:
        assert spool.trouble == "the log can't be written"
        assert all(spool.offer(request(number)) for number in range(10))
        with pytest.raises(SpoolError, match="the disk is full"):
            spool.append(click("refused")).result(30)
        assert (spool.counts, spool.waiting) == ((0, 0, 1), 10)
        (small_disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,nr_inodes=100", small_disk], check=True)
        visited_service.until(lambda: spool.trouble is None, "the spool is not opened")
        assert spool.append(click("sent")).result(30) == (1, 0)
        assert spool.counts == (11, 0, 1)
    events = 1 + (full is without_room_beside_it)
    assert drain(folder, Lake(small_disk.parent / "lake")) == Drained(10, 20, events)


def test_what_finds_no_room_in_memory_either_is_counted_and_the_end_is_not_waited_for(
    small_disk: Path,
) -> None:
    fill_up(small_disk / "ballast")
    with Spool(small_disk, capacity=5) as spool:
        assert [spool.offer(request(number)) for number in range(7)] == [True] * 5 + [False] * 2
        assert spool.counts.refused == 2
    assert (spool.counts, spool.waiting) == ((0, 2, 5), 0)


def no_spool(folder: Path) -> Path:
    """Something else has its name."""
    (folder / FILE_NAME).write_text("shopping list: milk, bread" * 100)
    return folder


def a_folder(folder: Path) -> Path:
    """A folder has its name."""
    (folder / FILE_NAME).mkdir()
    return folder


def a_file_for_a_folder(folder: Path) -> Path:
    """A file has its folder's name."""
    (folder / "spool").write_text("")
    return folder / "spool"


def read_only(folder: Path) -> Path:
    """No process may write there."""
    create(folder / FILE_NAME)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    return folder


@pytest.mark.parametrize("wrong", [no_spool, a_folder, a_file_for_a_folder, read_only])
@pytest.mark.parametrize("is_full", [False, True])
def test_a_spool_that_is_wrong_is_not_taken_for_one_without_room(
    small_disk: Path, wrong: Callable[[Path], Path], is_full: bool
) -> None:
    folder = wrong(small_disk)
    if is_full:
        with suppress(OSError):  # a folder without write permission has no room to fill
            fill_up(small_disk / "ballast")
    with pytest.raises(SpoolError, match=r"requests\.db can't be opened: (?!the disk)") as caught:
        Spool(folder)
    assert "correct its permissions" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_spool_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SpoolError, match="Permission denied"):
        Spool(tmp_path / "spool")


def test_a_server_whose_spool_is_wrong_says_so_and_ends(tmp_path: Path) -> None:
    version = make_home(tmp_path / "home")["popularity"]
    (tmp_path / "home" / "spool").write_text("")
    more = {
        "TASTEMAKER_HOME": str(tmp_path / "home"),
        "TASTEMAKER_VERSION": version.id,
        "BENTOML_HOME": str(tmp_path / "bentoml"),
    }
    done = run(["bentoml", "serve", "tastemaker_baselines.service:Popularity"], tmp_path, more)
    assert done.returncode != 0
    assert "requests.db can't be opened: [Errno 17] File exists" in done.stderr
    assert "Traceback" not in done.stderr


def test_limits_of_keys_are_kept_without_room_for_their_file(small_disk: Path) -> None:
    """A page of a mapped file that the disk has no room for kills whoever writes to it."""
    fill_up(small_disk / "ballast")
    meters = RateLimiter(small_disk / "meters", SLOTS)
    assert meters.wait(7, 0.1) == 0
    assert meters.wait(7, 0.1) == pytest.approx(10.0, abs=0.5)


@pytest.mark.servers
def test_a_service_whose_temporary_files_have_no_room_left_answers_on(tmp_path: Path) -> None:
    version = make_home(tmp_path / "home")["popularity"]
    with mounted(tmp_path / "temporary", "16m") as temporary:
        more = {
            "TASTEMAKER_HOME": str(tmp_path / "home"),
            "TASTEMAKER_VERSION": version.id,
            "BENTOML_HOME": str(tmp_path / "bentoml"),
            "TMPDIR": str(temporary),
        }
        command = ["bentoml", "serve", "tastemaker_baselines.service:Popularity"]
        with running(command, tmp_path, more) as client:
            fill_up(temporary / "ballast")
            statuses = [
                client.request(method, route.path, json={"x": 1}).status_code
                for route in ROUTES
                for method in ("GET", "POST", "PUT")  # each refusal is a number more to keep
            ]
            assert set(statuses) == {200, 400, 404, 405}
            assert client.post("/recommend", json={"user_id": "user-01"}).json()["stage"] == "model"


@pytest.mark.servers
def test_a_service_on_a_full_disk_answers_refuses_feedback_and_logs_all_once_there_is_room(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with mounted(home, "16m"):
        started = scenarios.started_on_a_full_disk(home)
    assert started.degraded == ["log: the log can't be written"]
    assert started.refusal.status_code == 503
    assert int(started.refusal.headers["retry-after"]) > 0
    assert started.refusal.headers["content-type"] == "application/problem+json"
    assert len(started.answered) == 50
    assert started.answered <= started.logged
    assert started.recovery_seconds < 30
    assert started.explained.status_code == 503, "the log can't be read, which is not a defect"
