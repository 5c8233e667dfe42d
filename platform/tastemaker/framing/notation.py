"""Formulas in two notations, and how numbers and names are written in each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_ESCAPED = {**{mark: f"\\{mark}" for mark in "&%$#_{}"}, "\\": r"\backslash ", "~": r"\sim ", "^": r"\wedge "}


class Formula(NamedTuple):
    """The same mathematics for a terminal and for Markdown."""

    text: str
    """Unicode."""
    latex: str


def number(value: float) -> Formula:
    """A number with all its digits, and none that it hasn't: 7, 0.05, 1e-07."""
    text = f"{value:.12g}"
    mantissa, _, exponent = text.partition("e")
    return Formula(text, rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else text)


def name(word: str) -> Formula:
    """Somebody's own word inside a formula: upright, with what TeX would read as a command escaped."""
    clean = re.sub(r"[\s\x00-\x1f\x7f]+", " ", word).strip()
    escaped = "".join(_ESCAPED.get(mark, mark) for mark in clean).replace(" ", r"\ ")
    return Formula(clean, rf"\mathrm{{{escaped}}}")


def set_of(words: Sequence[str]) -> Formula:
    """{a, b, c}"""
    names = [name(word) for word in words]
    return Formula(
        "{" + ", ".join(one.text for one in names) + "}",
        r"\{" + r",\ ".join(one.latex for one in names) + r"\}",
    )


def sum_of(terms: Sequence[Formula]) -> Formula:
    """a + b + c"""
    return Formula(" + ".join(one.text for one in terms), " + ".join(one.latex for one in terms))
