"""`tastemaker ship`, which moves records to the lake once a hundred wait, not ten thousand; as a program."""

from __future__ import annotations

import sys

from tastemaker.cli.ship import ship
from tastemaker.event_log import shipping

if __name__ == "__main__":
    setattr(shipping, "BATCH_RECORDS", 100)  # noqa: B010
    ship(sys.argv[1:], standalone_mode=True)
