"""What a suite is made of: rules for people, each with the expectation that checks it.

A suite looks at measures of a row, such as the bytes of an id, rather than at text: they take a tenth of the
time, and name what is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.validation.gate import ValidationRule

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Measures = dict[str, pa.ChunkedArray]


class Check(NamedTuple):
    """ValidationRule, with the expectation over a measure that finds the rows which break it."""

    rule: ValidationRule
    expectation: Expectation


def between(measure: str, low: float | None = None, high: float | None = None) -> Expectation:
    """Return the expectation that every value of a measure lies in [low, high]; null passes.

    Args:
        measure: The name of the measure.
        low: The least value; None: any.
        high: The greatest value; None: any.
    """
    from great_expectations.expectations.core.expect_column_values_to_be_between import (
        ExpectColumnValuesToBeBetween,
    )

    return ExpectColumnValuesToBeBetween(column=measure, min_value=low, max_value=high)


def always(measure: str, value: bool) -> Expectation:
    """Return the expectation that a measure has one value in every row; null passes.

    Args:
        measure: The name of the measure, which is boolean.
        value: The value that every row has.
    """
    from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
        ExpectColumnValuesToBeInSet,
    )

    return ExpectColumnValuesToBeInSet(column=measure, value_set=[value])


def present(measure: str) -> Expectation:
    """Return the expectation that a measure is null in no row."""
    from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
        ExpectColumnValuesToNotBeNull,
    )

    return ExpectColumnValuesToNotBeNull(column=measure)


class Suite(NamedTuple):
    """The checks of a table, in the order in which a row is evaluated, and the measures that they look at."""

    checks: tuple[Check, ...]
    measure: Callable[[pa.Table, datetime], Measures]
    """The measures of a chunk's rows, as of a time."""

    def after(self, first: Suite) -> Suite:
        """Return a suite with the checks of `first`, then these."""

        def measure(chunk: pa.Table, now: datetime) -> Measures:
            return {**first.measure(chunk, now), **self.measure(chunk, now)}

        return Suite((*first.checks, *self.checks), measure)


def length(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the number of bytes of each text; 0 where it is null, empty or only white space."""
    blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(text)), 0)
    return pc.fill_null(pc.if_else(blank, 0, pc.binary_length(text)), 0)


def seconds_since(times: pa.ChunkedArray, timestamp: datetime) -> pa.ChunkedArray:
    """Return the seconds from a start to each time; null where it is null.

    Args:
        times: Timestamps in microseconds, UTC.
        timestamp: The start, aware.

    Returns:
        float64 per time; below 0 for a time before the start.
    """
    microseconds = pc.cast(pc.cast(times, pa.int64()), pa.float64(), safe=False)  # exact until the year 2255
    return pc.divide(pc.subtract(microseconds, timestamp.timestamp() * 1e6), 1e6)


def flag(chunk: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a boolean column, which the chunk may lack if it is false in all rows.

    Args:
        chunk: Landed rows.
        name: The name of the column.
    """
    if name in chunk.column_names:
        return chunk.column(name)
    return pa.chunked_array([pa.repeat(pa.scalar(False), len(chunk))])
