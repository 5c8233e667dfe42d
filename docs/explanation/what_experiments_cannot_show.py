"""Executes `what-experiments-cannot-show.md`.

python docs/explanation/what_experiments_cannot_show.py            report where page and output differ
python docs/explanation/what_experiments_cannot_show.py --write   write the output into the page
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from when_offline_lies import execute

from tastemaker.util.atomic_files import atomic_write

PAGE = Path(__file__).with_name("what-experiments-cannot-show.md")


def main() -> None:
    """Compare the page with its output, or write it."""
    page = PAGE.read_text("utf-8")
    now, _ = execute(page, PAGE.name)
    if "--write" in sys.argv[1:]:
        with atomic_write(PAGE) as partial:
            partial.write_text(now, "utf-8")
    elif now != page:
        sys.exit(f"{PAGE} is not what its code prints: run with --write and look at the difference")


if __name__ == "__main__":
    main()
