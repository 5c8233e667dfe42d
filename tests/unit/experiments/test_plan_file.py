"""The plan's file: what is in force while it changes, is damaged or disappears, whatever the clock does."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.experiment_plans import experiment, plan_of
from tastemaker.errors import TastemakerError
from tastemaker.experiments import plan_file
from tastemaker.experiments.assignment import Units
from tastemaker.experiments.enrolled_units import write_enrolled
from tastemaker.experiments.plan import PinnedService, Variant
from tastemaker.experiments.plan_file import EMPTY_PLAN, PlanFile, decode_plan, read_archive, write_plan

UNIT = Units("u1")


class Clock:
    """A monotonic clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("tastemaker.experiments.plan_file.time.monotonic", found)
    return found


def names(file: PlanFile) -> list[str]:
    return [one.experiment for one in file.current().assigner.assign(UNIT, {})]


def test_what_was_written_is_in_force(tmp_path: Path) -> None:
    plan = plan_of(experiment("a"))
    digest = write_plan(tmp_path / "plan.json", plan)
    found = PlanFile(tmp_path / "plan.json").current()
    assert found.plan == plan
    assert found.digest == digest == hashlib.sha256((tmp_path / "plan.json").read_bytes()).hexdigest()


def test_a_change_is_seen_a_second_later_and_not_before(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    file = PlanFile(path)
    assert (file.current().plan, file.current().digest, file.trouble) == (EMPTY_PLAN, None, None)
    write_plan(path, plan_of(experiment("a")))
    clock.seconds += 0.9
    assert names(file) == []
    clock.seconds += 0.1
    assert names(file) == ["a"]
    write_plan(path, plan_of(experiment("a", killed=True)))
    clock.seconds += 1
    assert names(file) == []


def test_it_is_read_at_most_once_a_second(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read = Path.read_bytes

    def counted(file: Path) -> bytes:
        reads.append(file)
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", counted)
    file = PlanFile(tmp_path / "plan.json")
    for _ in range(30):
        clock.seconds += 0.1
        file.current()
    assert len(reads) <= 4


def test_the_same_size_and_time_of_change_hide_nothing(tmp_path: Path, clock: Clock) -> None:
    """The clock of the file system was set back, and an inode is used again."""
    path = tmp_path / "plan.json"
    write_plan(path, plan_of(experiment("a")))
    file = PlanFile(path)
    before = path.stat()
    content = path.read_bytes().replace(b'"a"', b'"b"')
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    clock.seconds += 1
    assert names(file) == ["b"]


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_jump_of_the_wall_clock_does_not_matter(
    jump: float, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    file = PlanFile(path)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    write_plan(path, plan_of(experiment("a"), made_at=now + jump))
    os.utime(path, (now + jump, now + jump))
    clock.seconds += 1
    assert names(file) == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b'{"revision": 1}',
        b'{"revision": 1, "made_at": 0, "unknown": 1}',
        b'{"revision": 1, "made_at": 0, "default": "x"}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_leaves_the_last_good_plan_in_force(
    content: bytes, tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "plan.json"
    digest = write_plan(path, plan_of(experiment("a")))
    whole = path.read_bytes()
    file = PlanFile(path)
    path.write_bytes(content)
    clock.seconds += 1
    assert names(file) == ["a"]
    assert file.current().digest == digest
    assert file.trouble is not None
    assert "last good plan" in file.trouble
    path.write_bytes(whole)
    clock.seconds += 1
    assert names(file) == ["a"]
    assert file.trouble is None


def test_each_half_written_file_leaves_the_last_good_plan_in_force(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, plan_of(experiment("a")))
    file = PlanFile(path)
    write_plan(path, plan_of(experiment("b")))
    whole = path.read_bytes()
    for length in range(0, len(whole.rstrip()), 7):
        path.write_bytes(whole[:length])
        clock.seconds += 1
        assert names(file) == ["a"]
        assert file.trouble


def test_a_file_that_disappears_ends_all_experiments(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, plan_of(experiment("a")))
    file = PlanFile(path)
    path.unlink()
    clock.seconds += 1
    assert names(file) == []
    assert (file.current().plan, file.trouble) == (EMPTY_PLAN, None)


def test_a_file_that_disappears_leaves_the_default_service(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    services = tuple(PinnedService(one, "ease", one, f"unix:/run/{one}") for one in ("champion", "other"))
    variants = (Variant("a", 0, 1, "champion"), Variant("b", 1, 2, "other"))
    tried = msgspec.structs.replace(experiment("a"), variants=variants, control="a")
    write_plan(path, msgspec.structs.replace(plan_of(tried), default="champion", services=services))
    file = PlanFile(path)
    path.unlink()
    for _ in range(2):
        clock.seconds += 1
        assert file.current().plan == msgspec.structs.replace(
            EMPTY_PLAN, default="champion", services=services[:1]
        )
    assert (file.current().digest, file.current().content) == (None, None)
    assert PlanFile(path).current().plan == EMPTY_PLAN


def test_a_path_that_can_not_be_read_leaves_the_last_good_plan_in_force(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, plan_of(experiment("a")))
    file = PlanFile(path)
    path.unlink()
    path.mkdir()
    clock.seconds += 1
    assert names(file) == ["a"]
    assert file.trouble == "the experiments' plan can't be read: Is a directory"


def test_a_kill_acts_even_where_the_plan_has_a_fault(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, plan_of(experiment("a"), experiment("b", "cart")))
    file = PlanFile(path)
    text = path.read_text().replace('"killed": false', '"killed": true', 1)
    path.write_text(text.replace('"enrolment": 1000000', '"enrolment": 1000001'))
    clock.seconds += 1
    assert names(file) == ["b"]
    assert file.trouble
    assert "enrolment of 1000001" in file.trouble


def test_a_kill_acts_though_another_experiments_units_are_lost(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    write_enrolled(tmp_path / "b.npy", "exp-b", ["u1"])
    held = experiment("b", "cart", enrolled="b.npy")
    write_plan(path, plan_of(experiment("a"), held))
    file = PlanFile(path)
    write_plan(path, plan_of(experiment("a", killed=True), held))
    (tmp_path / "b.npy").unlink()
    clock.seconds += 1
    assert names(file) == ["b"]
    assert file.trouble
    write_enrolled(tmp_path / "b.npy", "exp-b", ["u1"])
    clock.seconds += 1
    assert names(file) == ["b"]
    assert file.trouble is None


def test_a_damaged_file_at_the_start_gives_the_default(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"{")
    file = PlanFile(path)
    assert names(file) == []
    assert file.trouble


def test_a_damaged_file_at_the_start_leaves_the_plan_that_was_written_last(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for name in ("a", "b"):
        write_plan(path, plan_of(experiment(name)))
    path.write_bytes(b"{")
    file = PlanFile(path)
    assert names(file) == ["b"]
    assert file.trouble


def test_an_older_plan_that_is_copied_back_is_refused_also_after_a_restart(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "plan.json"
    older = _written(path, 8, killed=False)
    digest = hashlib.sha256(_written(path, 9, killed=True)).hexdigest()
    file = PlanFile(path)
    path.write_bytes(older)
    clock.seconds += 1
    for found in (file, PlanFile(path)):
        assert names(found) == []
        assert (found.current().digest, found.current().plan.revision) == (digest, 9)
        assert found.trouble is not None
        assert "has revision 8, older than 9" in found.trouble
    _written(path, 10, killed=False)
    clock.seconds += 1
    assert names(file) == ["a"]
    assert file.trouble is None


def test_an_older_plan_is_refused_though_the_newer_one_was_removed(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    older = _written(path, 8)
    _written(path, 9)
    file = PlanFile(path)
    path.unlink()
    clock.seconds += 1
    assert (names(file), file.trouble) == ([], None)
    path.write_bytes(older)
    clock.seconds += 1
    assert names(file) == []
    assert file.trouble


def test_a_kill_in_an_older_plan_is_over(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "plan.json"
    older = _written(path, 8, killed=True)
    _written(path, 9)
    file = PlanFile(path)
    path.write_bytes(older)
    clock.seconds += 1
    assert names(file) == ["a"]


def test_a_restored_folder_is_written_again_from_its_own_revision(tmp_path: Path, clock: Clock) -> None:
    """The running controller knows revision 9, the folder's copy 5: what is written later counts."""
    path = tmp_path / "plan.json"
    _written(path, 9)
    file = PlanFile(path)
    _written(path, 6, name="b", made_at=2e9)
    clock.seconds += 1
    assert (names(file), file.trouble) == (["b"], None)


def _written(
    path: Path, revision: int, *, name: str = "a", made_at: float | None = None, **more: Any
) -> bytes:
    """Write a plan, and return its bytes."""
    timestamp = 1_700_000_000.0 + revision if made_at is None else made_at
    write_plan(path, plan_of(experiment(name, **more), revision=revision, made_at=timestamp))
    return path.read_bytes()


def test_a_plan_with_a_fault_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    digest = write_plan(path, plan_of(experiment("a")))
    with pytest.raises(TastemakerError, match="enrolment of -1"):
        write_plan(path, plan_of(experiment("a", enrolment=-1)))
    assert PlanFile(path).current().digest == digest


def test_what_is_not_a_plan_is_named_with_its_place() -> None:
    with pytest.raises(TastemakerError, match=r"Expected `int`, got `str` - at `\$\.revision`"):
        decode_plan(b'{"revision": "1", "made_at": 0}')


def test_readers_never_see_a_part_of_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads read at each call while two plans replace each other."""
    monkeypatch.setattr(plan_file, "LOOK_SECONDS", 0.0)
    path = tmp_path / "plan.json"
    plans = [
        plan_of(experiment("a", forced={f"{number:016x}": "control" for number in range(50)})),
        plan_of(experiment("b")),
    ]
    write_plan(path, plans[0])
    file = PlanFile(path)
    seen, stop = set(), threading.Event()

    def look() -> None:
        found = file.current()
        seen.add((found.digest, tuple(names(file)), found.plan.experiments[0].name, file.trouble))

    def read() -> None:
        while not stop.is_set():
            look()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        write_plan(path, plans[turn % 2])
    stop.set()
    for thread in threads:
        thread.join()
    for plan in plans:  # however few of the turns the threads have seen
        write_plan(path, plan)
        look()
    assert {trouble for *_, trouble in seen} == {None}
    assert {tuple(found) for _, found, _, _ in seen} == {("a",), ("b",)}
    assert len({(digest, name) for digest, _, name, _ in seen}) == 2


def test_each_plan_stays_under_its_digest(tmp_path: Path) -> None:
    assert read_archive(tmp_path) == {}
    plans = [plan_of(experiment("a"), revision=number) for number in range(3)]
    digests = [write_plan(tmp_path / "plan.json", plan) for plan in plans]
    assert read_archive(tmp_path) == dict(zip(digests, plans, strict=True))


def test_an_archived_plan_that_was_changed_is_refused(tmp_path: Path) -> None:
    digest = write_plan(tmp_path / "plan.json", plan_of(experiment("a")))
    file = tmp_path / "plans" / f"{digest}.json"
    file.write_bytes(file.read_bytes().replace(b"control", b"b"))
    with pytest.raises(TastemakerError, match="is not what its name says"):
        read_archive(tmp_path)
