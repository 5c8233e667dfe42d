"""Labels of ranges in the order of their values: `<18`, `18-24`, `$1,000-4,999`, `6+ items`.

Text would put 100+ before 6-20. A label is a number, a date, or a range of them with words, a currency and a
unit; labels of another kind, such as `none`, come after the ranges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
DATE_LENGTH = 10

_SIGN = r"[$€£¥₹]"
_DATE_BOUND = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.+Z-]+)?"
_PLAIN_BOUND = r"[-−]?(?:[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|∞)"
_AMOUNT = (
    rf"[-−]?{_SIGN}?\s?[-−]?(?:[0-9]{{1,3}}(?:[,'’\u00a0\u202f][0-9]{{3}})+(?:[.][0-9]+)?"
    rf"|[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?|∞)(?:\s?(?:bn|k|m)\b)?\s?(?:{_SIGN}|%)?"
)
_BOUND = rf"{_DATE_BOUND}|{_AMOUNT}"
_INTERVAL = re.compile(
    rf"[\[(]\s*(?P<first>{_DATE_BOUND}|{_PLAIN_BOUND})\s*[,;]\s*(?P<last>{_DATE_BOUND}|{_PLAIN_BOUND})\s*[\])]",
    re.IGNORECASE,
)
"""The notation of mathematics, such as [9,10) and (20, inf)."""
_RANGE = re.compile(
    r"(?:(?P<above>[>≥]=?|over|above|from|(?:more|greater|older|higher) than|at least)"
    r"|(?P<below>[<≤]=?|under|below|up to|(?:less|fewer|younger|lower) than|at most))?\s*"
    rf"(?P<first>{_BOUND})(?:\s*(?:to|and|[.]{{2,3}}|…|[-–—−,;:])\s*(?P<last>{_BOUND}))?"
    r"(?:\s*(?:(?P<more>[+]|(?:and|or) (?:over|more|above|older|up|greater|higher))"
    r"|(?P<less>(?:and|or) (?:under|less|below|younger|fewer|lower))))?"
    r"(?:\s*(?P<unit>[^\W\d_]+))?(?P<more_units>[+])?",
    re.IGNORECASE,
)
_SCALES = {"k": 1e3, "m": 1e6, "bn": 1e9}


class _Range(NamedTuple):
    first: float
    last: float
    label: str
    """It parts what begins and ends alike."""
    unit: str


def in_order(labels: Sequence[str]) -> list[int] | None:
    """Return the indices of the labels in the order of their values; other labels follow in their own order.

    None if fewer than two labels are ranges of one unit, or more of them are something else.
    """
    found = {at: one for at, label in enumerate(labels) if (one := _read(label)) is not None}
    units = {one.unit for one in found.values() if one.unit}
    others = [at for at in range(len(labels)) if at not in found]
    if len(found) < max(2, len(others)) or len(units) > 1:
        return None
    return [*sorted(found, key=lambda at: found[at]), *others]


def _read(label: str) -> _Range | None:
    text = " ".join(label.split())
    if interval := _INTERVAL.fullmatch(text):
        return _Range(_value(interval["first"]), _value(interval["last"]), label, "")
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    first = _value(found["first"])
    last = first if found["last"] is None else _value(found["last"])
    unit = (found["unit"] or "").casefold().removesuffix("s")
    if found["below"] or found["less"]:
        return _Range(-math.inf, last, label, unit)
    above = found["above"] or found["more"] or found["more_units"]
    return _Range(first, math.inf if above else last, label, unit)


def _value(text: str) -> float:
    """Return a number; of a date, its digits."""
    if DATE.fullmatch(text):
        return float(text[:DATE_LENGTH].replace("-", ""))
    digits = re.sub(rf"{_SIGN}|[,'’\s%]", "", text).replace("−", "-").replace("∞", "inf").lower()
    scale = next((value for end, value in _SCALES.items() if digits.endswith(end)), None)
    return float(digits) if scale is None else float(digits.rstrip("kmbn")) * scale
