"""Executes the pages on experiments.

python docs/explanation/experiment_pages.py            report where a page and its output differ
python docs/explanation/experiment_pages.py --write   write the output into the pages
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from when_offline_lies import execute

from tastemaker.util.atomic_files import atomic_write

PAGES = ("what-experiments-cannot-show.md", "experiment-statistics.md")


def main() -> None:
    """Compare the pages with their output, or write it."""
    for name in PAGES:
        path = Path(__file__).with_name(name)
        page = path.read_text("utf-8")
        now, _ = execute(page, name)
        if "--write" in sys.argv[1:]:
            with atomic_write(path) as partial:
                partial.write_text(now, "utf-8")
        elif now != page:
            sys.exit(f"{path} is not what its code prints: run with --write and look at the difference")


if __name__ == "__main__":
    main()
