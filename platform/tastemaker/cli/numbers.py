"""Click parameter types for numbers."""

from __future__ import annotations

import math
from typing import Any

import click

from tastemaker.storage.row_numbers import MOST_ROW

ROW_NUMBER = click.IntRange(1, MOST_ROW)
"""Click parameter type of the number of a row."""


class Number(click.FloatRange):
    """Click parameter type of a finite number in a range; `click.FloatRange` accepts NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found
