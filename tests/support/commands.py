"""Commands as their users type them, each in a process of its own, in a home folder made by `homes`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support import small_shop
from support.child_processes import ended

BIN = Path(sys.executable).parent
LIMIT_SECONDS = 600
"""For what is only waited for, on a machine that has other things to do."""


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a user of this home folder: nothing of the developer's own settings."""
    return environment_as_it_is(home, more, small_shop.environment(home))


def environment_as_it_is(
    home: Path, more: Mapping[str, str] | None = None, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The same where nothing may be written into the home folder."""
    given = given or os.environ | {
        "TASTEMAKER_HOME": str(home),
        "TASTEMAKER_PROBLEM": str(home / "problem.yaml"),
    }
    kept = {
        name: value
        for name, value in given.items()
        if name in {"TASTEMAKER_HOME", "TASTEMAKER_PROBLEM"}
        or not name.startswith(("TASTEMAKER_", "DAGSTER_"))
    }
    path = f"{BIN}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"PATH": path, "COLUMNS": "200"} | dict(more or {})


def start(home: Path, *words: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start an installed program, such as `tastemaker run`, in the home folder. Use `ended` with it."""
    return subprocess.Popen(
        [str(BIN / words[0]), *words[1:]],
        cwd=home,
        env=environment(home, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(
    home: Path, *words: str, more: Mapping[str, str] | None = None, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which must have this status, and no stack trace."""
    process = start(home, *words, more=more)
    with ended(process):
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    said = f"{' '.join(words)} ended with {process.returncode}\n{out}\n{err}"
    assert process.returncode == status, said
    assert "Traceback" not in said, said
    return subprocess.CompletedProcess(words, process.returncode, out, err)
