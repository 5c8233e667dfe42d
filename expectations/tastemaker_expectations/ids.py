"""Checks of ids."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.tables import MAX_ID_BYTES
from tastemaker.data.validation.gate import ValidationRule
from tastemaker.snapshot.canonical_ids import INEXACT
from tastemaker_expectations.suite import Check, Measures, always, between, length

NUMBERED = ("user_id", "item_id")
"""Ids that are often numbers, and so may have been rounded."""


def id_checks(name: str) -> tuple[Check, Check]:
    """Return the checks that an id is present and not longer than an index allows."""
    return (
        Check(
            ValidationRule(
                f"{name}_missing",
                f"The row has no {name}: it is null, blank, or a word for a missing value such as NULL or "
                "NaN.",
                f"Fill it at the source, or map the right column to {name} in tastemaker.toml. If such a "
                "word is an id: source.missing_ids.",
            ),
            between(f"{name}_bytes", low=1),
        ),
        Check(
            ValidationRule(
                f"{name}_too_long",
                f"The {name} is longer than {MAX_ID_BYTES} bytes in UTF-8.",
                f"Map a shorter column to {name}, or hash it at the source.",
            ),
            between(f"{name}_bytes", high=MAX_ID_BYTES),
        ),
    )


def form_checks() -> tuple[Check, Check]:
    """Return the checks that no id of a row has a NUL character or was rounded.

    There are two for all ids of a row, since each check takes time.
    """
    return (
        Check(
            ValidationRule(
                "id_with_nul",
                "An id holds a NUL character, which is never meant.",
                "Look for a program that writes records of fixed width, or for UTF-16 that was cut.",
            ),
            always("id_has_nul", False),
        ),
        Check(
            ValidationRule(
                "id_inexact",
                "An id is a number that a spreadsheet or floating point has rounded, so that several ids may "
                "have become one.",
                "Export the column as text or as whole numbers.",
            ),
            always("id_is_inexact", False),
        ),
    )


def id_measures(chunk: pa.Table, *names: str) -> Measures:
    """Return the measures of `id_checks` of these columns and of `form_checks`.

    Args:
        chunk: Rows with these columns.
        *names: The columns of ids, one of them at least `user_id` or `item_id`, which may have been rounded.
    """
    ids = {name: chunk.column(name) for name in names}
    return {
        **{f"{name}_bytes": length(column) for name, column in ids.items()},
        "id_has_nul": _any([pc.match_substring(column, "\0") for column in ids.values()]),
        "id_is_inexact": _any([_inexact(column) for name, column in ids.items() if name in NUMBERED]),
    }


def _inexact(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whether each id matches INEXACT.

    Such an id has a dot or a plus. Most columns of ids have neither, which is fast to check.
    """
    perhaps = pc.or_(pc.match_substring(ids, "."), pc.match_substring(ids, "+"))
    return pc.match_substring_regex(ids, f"^(?:{INEXACT})$") if pc.any(perhaps).as_py() else perhaps


def _any(answers: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    return reduce(pc.or_, (pc.fill_null(answer, False) for answer in answers))
