"""The version of the code that trained a model."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from tastemaker._version import __version__

_GIT_SECONDS = 10


@cache
def code_version() -> str:
    """Return the commit of the checkout, with `-dirty` if files differ; the release outside of a checkout."""
    here = Path(__file__).resolve()
    tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name)
    commit = tracked and _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    return commit or f"tastemaker {__version__}"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=_GIT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
