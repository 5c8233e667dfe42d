"""The checks that every id goes through."""

from __future__ import annotations

from tastemaker.data.gate import Rule
from tastemaker.data.tables import MAX_ID_BYTES
from tastemaker_expectations.suite import Check, between


def id_checks(name: str) -> tuple[Check, Check]:
    """That an id is there and no longer than an index can hold."""
    return (
        Check(
            Rule(
                f"{name}_missing",
                f"The row has no {name}: it is null, empty or blank.",
                f"Fill it at the source, or map the right column to {name} in tastemaker.toml.",
            ),
            between(f"{name}_bytes", low=1),
        ),
        Check(
            Rule(
                f"{name}_too_long",
                f"The {name} is longer than {MAX_ID_BYTES} bytes in UTF-8.",
                f"Map a shorter column to {name}, or hash it at the source.",
            ),
            between(f"{name}_bytes", high=MAX_ID_BYTES),
        ),
    )
