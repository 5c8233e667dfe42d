"""Feast is imported without its checks of argument types, and no other library loses its own."""

from __future__ import annotations

import pytest
import typeguard

from tastemaker.features.feast_import import import_feast


def test_feast_does_not_check_types() -> None:
    """An argument of the wrong type is not refused; mypy does that."""
    feast = import_feast()
    assert feast.Entity(name=b"user", value_type=feast.ValueType.STRING).name == b"user"


def test_other_libraries_keep_their_checks() -> None:
    import_feast()

    @typeguard.typechecked
    def double(number: int) -> int:
        return 2 * number

    with pytest.raises(typeguard.TypeCheckError, match="is not an instance of int"):
        double("two")  # type: ignore[arg-type]
