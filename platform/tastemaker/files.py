"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """A new file beside `path` to write to; it takes the place of `path` when the block ends well.

    If the block raises, `path` stays as it was and the new file is gone. The folder is made if it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(mode)  # mkstemp's files are private
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
