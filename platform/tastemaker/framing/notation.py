"""Formulas in two notations, with numbers and names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_ESCAPED = {**{mark: f"\\{mark}" for mark in "&%$#_{}"}, "\\": r"\backslash ", "~": r"\sim ", "^": r"\wedge "}


class Formula(NamedTuple):
    """Formula in Unicode for terminals, and in LaTeX for Markdown."""

    text: str
    """Unicode."""
    latex: str


def number(value: float) -> Formula:
    """Return a number with up to 12 digits, such as 7, 0.05 or 1e-07.

    >>> number(1e-07)
    Formula(text='1e-07', latex='1 \\\\cdot 10^{-7}')
    """
    text = f"{value:.12g}"
    mantissa, _, exponent = text.partition("e")
    return Formula(text, rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else text)


def name(word: str) -> Formula:
    """Return a word inside a formula, upright, with TeX's special characters escaped."""
    clean = re.sub(r"[\s\x00-\x1f\x7f]+", " ", word).strip()
    escaped = "".join(_ESCAPED.get(mark, mark) for mark in clean).replace(" ", r"\ ")
    return Formula(clean, rf"\mathrm{{{escaped}}}")


def set_of(words: Sequence[str]) -> Formula:
    """Return the set {a, b, c}."""
    names = [name(word) for word in words]
    return Formula(
        "{" + ", ".join(one.text for one in names) + "}",
        r"\{" + r",\ ".join(one.latex for one in names) + r"\}",
    )


def sum_of(terms: Sequence[Formula]) -> Formula:
    """Return the sum a + b + c."""
    return Formula(" + ".join(one.text for one in terms), " + ".join(one.latex for one in terms))
