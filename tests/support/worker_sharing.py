"""What is made once for all workers of pytest-xdist: the first that needs it makes it, the others wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tastemaker.util.file_lock import file_lock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all tests of all workers share, and only read.

    Args:
        factory: pytest's.
        name: What distinguishes it from others.
        make: Makes the folder, which is not there.
    """
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with file_lock(folder.with_suffix(".lock")):
        is_made = folder.with_suffix(".made")
        if not is_made.exists():
            make(folder)
            is_made.touch()
    return folder
