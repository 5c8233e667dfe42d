"""What the assets share: owners, retries, and how a mistake that the user can mend is told."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from tastemaker.errors import TastemakerError
from tastemaker.util.os_errors import in_words

DATA_TEAM = "team:data"
MODEL_TEAM = "team:models"
PRODUCT_TEAM = "team:product"

RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what may pass: a full network, a locked file, a database that restarts."""


@contextmanager
def told() -> Iterator[None]:
    """A TastemakerError fails the step with its own words and is not tried again, nor is a full disk."""
    try:
        yield
    except TastemakerError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    except Exception as error:
        if (refusal := in_words(error)) is None:
            raise
        raise dg.Failure(description=str(refusal), allow_retries=False) from error
