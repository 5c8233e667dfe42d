"""One run of a backfill in its own process: `python -m tastemaker_pipelines.backfill.worker FIRST LAST`.

It ends with the process that started it, whose end closes its standard input.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RETRIES_TAG,
)

from tastemaker.settings import Settings, load_settings
from tastemaker_pipelines.backfill.definitions import build_backfill_defs
from tastemaker_pipelines.failures import ATTENDED_TAG, step_failures
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.resources import LazyWorkspace


def run_range(settings: Settings, first: str, last: str) -> str:
    """Validate the landed days of a range as a run of the instance, and return why it failed, or nothing.

    Args:
        settings: The home folder and the source.
        first: The key of the first partition: a day.
        last: The key of the last partition, which is validated, too.
    """
    job = build_backfill_defs(LazyWorkspace(settings)).resolve_implicit_global_asset_job_def()
    with open_instance(settings) as instance:
        result = job.execute_in_process(
            instance=instance,
            tags={
                ASSET_PARTITION_RANGE_START_TAG: first,
                ASSET_PARTITION_RANGE_END_TAG: last,
                MAX_RETRIES_TAG: "0",
                ATTENDED_TAG: "true",
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        return "" if result.success else step_failures(instance, result.run_id)[0].reason


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if problem := run_range(load_settings(), sys.argv[1], sys.argv[2]):
        sys.exit(problem)
