"""What the assets share: owners, the retry policy, and how errors reach the user."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from tastemaker.errors import TastemakerError
from tastemaker.util.os_errors import in_words

DATA_TEAM = "team:data"
MODEL_TEAM = "team:models"
PRODUCT_TEAM = "team:product"

TRAINING_POOL = "training"
"""Steps that fit a model: orchestrator.pool_limit of them at once, over all runs."""
MEMORY_POOL = "memory-high"
"""Other steps that may take gigabytes of memory, likewise."""

RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For errors that may pass: a busy network, a locked file, a database that restarts."""


@contextmanager
def readable_failures() -> Iterator[None]:
    """Fail the step with the text of a TastemakerError, without a retry; the same for a full disk."""
    try:
        yield
    except TastemakerError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    except Exception as error:
        if (refusal := in_words(error)) is None:
            raise
        raise dg.Failure(description=str(refusal), allow_retries=False) from error


def log_progress(context: dg.AssetExecutionContext) -> Callable[[str, int, int], None]:
    """Return a progress function that writes about twenty lines to the step's log."""

    def progress(stage: str, done: int, total: int) -> None:
        if done == total or done % max(total // 20, 1) == 0:
            context.log.info(f"{stage}: {done:,} of {total:,} days")

    return progress
