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
        """Return the number that a text stands for.

        Args:
            value: The text, or a number that is a default.
            param: The option or argument, for the error message; None outside of a command.
            ctx: The command's context, for the error message; None outside of a command.

        Returns:
            A finite number in the range.

        Raises:
            BadParameter: It is not a finite number, or it is out of the range.
        """
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found
