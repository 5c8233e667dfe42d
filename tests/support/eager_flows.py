"""`tastemaker flows`, which looks for changes twice a second, not each five; as a program."""

from __future__ import annotations

import sys

from tastemaker_pipelines.cli.flows import flows
from tastemaker_pipelines.flows.serve import keep_quiet

if __name__ == "__main__":
    keep_quiet()  # before Prefect is imported
    from tastemaker_pipelines.flows import keeper

    setattr(keeper, "CHECK_SECONDS", 0.5)  # noqa: B010
    flows(sys.argv[1:], standalone_mode=True)
