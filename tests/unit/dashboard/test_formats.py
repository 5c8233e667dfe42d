"""Figures, cells and CSV as readers see them."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from tastemaker.dashboard.content import DataTable, TableCell, TableColumn
from tastemaker.dashboard.formats import NO_FIGURE, as_csv, number, shown, time_text

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1, "share", "10.0 %"),
        (1.0, "share", "100 %"),
        (0.0, "share", "0 %"),
        (1, "days", "1 day"),
        (1, "GBP", "1 GBP"),
        (0.123456, "share", "12.3 %"),
        (0.0004321, "share", "0.0432 %"),
        (1_234_567.8, "", "1,234,568"),
        (0.0, "days", "0 days"),
        (-2.345, "GBP", "-2.35 GBP"),
        (math.nan, "share", NO_FIGURE),
        (math.inf, "", NO_FIGURE),
        (None, "share", NO_FIGURE),
    ],
)
def test_a_figure_has_three_digits_and_its_unit(value: float | None, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_times_are_in_the_shops_zone_and_name_it() -> None:
    assert time_text(datetime(2026, 7, 1, 22, 30, tzinfo=UTC), BERLIN) == "2 Jul 2026 00:30 CEST"
    assert shown(date(2026, 7, 1), TableColumn("day", "Day", "day"), BERLIN) == "1 Jul 2026"


def test_csv_has_full_figures_and_no_formula() -> None:
    hostile = '=HYPERLINK("http://evil")'
    table = DataTable(
        "rows",
        "Rows",
        [
            TableColumn("name", "Name"),
            TableColumn("value", "Value", "share"),
            TableColumn("day", "Day", "day"),
        ],
        [[hostile, TableCell(1 / 3, small="0.3 to 0.4"), date(2026, 7, 1)], ['a,\n"b', math.nan, None]],
    )
    read = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert read[0] == {"name": f"'{hostile}", "value": repr(1 / 3), "day": "2026-07-01"}
    assert read[1] == {"name": 'a,\n"b', "value": "", "day": ""}


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="rows has 2 cells, must have 1"):
        DataTable("rows", "Rows", [TableColumn("a", "A")], [[1, 2]])
