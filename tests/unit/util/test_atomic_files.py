"""A file appears whole, or what was there stays."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tastemaker.util.atomic_files import atomic_write, remove_abandoned


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way" / "page.html"
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert partial.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interrupted_block_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(error):
        _write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _write_half(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path) as partial:
        partial.write_text("half of the ne")
        raise error


_DIES = """
import os, signal, sys
from pathlib import Path
from tastemaker.util.atomic_files import atomic_write
with atomic_write(Path(sys.argv[1])) as partial:
    partial.write_text("half of the ne")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.processes
def test_what_a_killed_writer_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    path = tmp_path / "below" / "page.html"
    subprocess.run([sys.executable, "-c", _DIES, path], check=False)
    assert len(list(path.parent.iterdir())) == 1
    not_ours = tmp_path / ".notes.tmp"
    not_ours.write_text("")
    with atomic_write(path) as partial:
        partial.write_text("new")
        remove_abandoned(tmp_path)
        assert list(path.parent.iterdir()) == [partial]
    assert path.read_text() == "new"
    assert not_ours.exists()


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkstemp, list[str]()

    def interrupted(**named: Any) -> tuple[int, str]:
        handle, name = make(**named)
        if not made:
            Path(name).unlink()
        made.append(name)
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", interrupted)
    with atomic_write(tmp_path / "page.html") as partial:
        partial.write_text("new")
    assert len(made) == 2
    assert (tmp_path / "page.html").read_text() == "new"


def test_two_writers_use_different_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with atomic_write(path) as first:
        first.write_text("first")
        with atomic_write(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
