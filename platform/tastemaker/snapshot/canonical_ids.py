"""Canonical ids: one written form of an id, so that it matches in every table and request.

- Blanks around it are removed, invisible ones included (no-break and zero-width spaces, the byte order mark,
  direction characters).
- Letters are composed (Unicode's form NFC): e and a combining acute become the letter e acute.
- A whole number that passed through floating point is restored: 27.0 and 2.70e+01 are 27, and 1.25E7, as Java
  writes it, is 12500000.
- Leading zeros stay: 0123 and 123 may be two products. The form `numbers` removes them.
- A word that programs write for a missing value, such as NULL or NaN, is not an id. The setting
  `source.missing_ids` lists them.

A number that floating point or a spreadsheet has rounded (1.23457E+12) can't be restored: it stays as
written, and validation rejects it. The same rules are implemented in Python and in SQL.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Literal

from tastemaker.util.canonical_texts import BLANKS, slowly_trimmed_sql

IdForm = Literal["canonical", "numbers", "text"]
"""canonical: as above. numbers: leading zeros go, too. text: only blanks go."""

MISSING_IDS = (
    *("null", "(null)", "\\n", "nil", "none", "nan", "-nan", "nat", "na", "n/a", "#n/a", "#na", "<na>"),
    *("undefined", "#ref!", "#value!", "#div/0!", "#name?", "#null!", "#num!"),
)
"""The words of databases, R, pandas, JavaScript and Excel for a missing value, in lower case."""

MAX_EXACT = 1 << 53
"""Floating point holds every whole number up to here, and not all above."""

INEXACT = r"[+-]?[0-9](?:[.][0-9]*)?[eE][+][0-9]+|-?[0-9]{16,}[.]0*|-?[0-9][.][0-9]+E(?:1[5-9]|[2-9][0-9])"
"""The form of a rounded number after `canonical`."""

_PLAIN = "[0-9A-Za-z_:-]{12,}|[0-9A-Za-z_:-]*[0-9]"
"""Ids that no rule changes, but for leading zeros: a cheap test that most ids pass."""
_MOST = re.compile(_PLAIN)
_ALL_PLAIN = re.compile(rf"(?:(?>{_PLAIN})\n)*+")
"""Lines of them. It never tries an id in both ways, which would take time exponential in their number."""
_AROUND = f"[{BLANKS}]*"
_WHOLE = re.compile(r"(-?[0-9]+)[.]0*")
_JAVA = re.compile(r"(-?)([0-9])[.]([0-9]+)E([0-9]{1,2})")
JAVA_EXPONENT = 7
"""From 10^7 on, Java (and Spark) writes floating point as 1.25E7: all digits but the zeros at the end."""
_SCIENTIFIC = re.compile(r"(-?)([0-9])(?:[.]([0-9]*))?[eE][+]([0-9]{1,3})")
_ZEROS = re.compile(r"0+([0-9]+)")


def canonical(text: str, form: IdForm = "canonical") -> str:
    """Return an id in its canonical form. Words for missing values are not recognized.

    Args:
        text: The id.
        form: Which rules apply.

    >>> [canonical(each) for each in (" 27.0\\u00a0", "2.70e+01", "0027", "27.5", "1.2E+09", "1.2E9")]
    ['27', '27', '0027', '27.5', '1.2E+09', '1200000000']
    >>> canonical("0027.00", "numbers")
    '27'
    """
    if form != "numbers" and _MOST.fullmatch(text):
        return text
    text = text.strip(BLANKS)
    if form == "text":
        return text
    text = unicodedata.normalize("NFC", text)
    if (whole := _WHOLE.fullmatch(text)) and abs(int(whole[1])) <= MAX_EXACT:
        text = whole[1]
    elif scientific := _SCIENTIFIC.fullmatch(text):
        text = _digits(*scientific.groups(default="")) or text
    elif (java := _JAVA.fullmatch(text)) and int(java[4]) >= JAVA_EXPONENT:
        text = _digits(java[1], java[2], java[3].ljust(int(java[4]), "0"), java[4]) or text
    return _ZEROS.sub(r"\1", text) if form == "numbers" and _ZEROS.fullmatch(text) else text


def are_canonical(ids: Iterable[str], form: IdForm = "canonical") -> bool:
    """Return whether `canonical` certainly changes none of these ids. Several cost little more than one.

    False means that it may change some, as it always is for the form `numbers`.

    Args:
        ids: The ids as they were written.
        form: Which rules apply.

    >>> are_canonical(["item-27", "0027"]), are_canonical(["item-27", "27.0"])
    (True, False)
    """
    return form != "numbers" and _ALL_PLAIN.fullmatch("\n".join((*ids, ""))) is not None


def is_missing(text: str, words: Collection[str] = MISSING_IDS) -> bool:
    """Return whether a text stands for a missing id: nothing but blanks, or a word for a missing value.

    Args:
        text: The text, as it was sent.
        words: The words, in lower case.

    >>> [is_missing(each) for each in ("\u00a0", " NULL", "nullable")]
    [True, True, False]
    """
    bare = text.strip(BLANKS).lower()
    return not bare or bare in words


def _digits(sign: str, first: str, decimals: str, exponent: str) -> str | None:
    """Return the whole number if the written decimals give it exactly; else None."""
    places = int(exponent)
    if len(decimals) < places or decimals[places:].strip("0"):
        return None
    number = int(first + decimals[:places])
    return f"{sign}{number}" if number <= MAX_EXACT else None


def canonical_sql(column: str, form: IdForm = "canonical", missing: Iterable[str] = ()) -> str:
    """Return SQL for DuckDB that computes `canonical` of a column.

    Most ids pass the first test and cost one regular expression.

    Args:
        column: A text expression.
        form: Which rules apply.
        missing: Words, without regard to case, that become null.
    """
    text = slowly_trimmed_sql(column)
    words = [word.lower() for word in missing]
    cases = []
    if not any(re.fullmatch(_PLAIN, word) for word in words):
        cases.append(f"WHEN regexp_full_match({column}, '{_PLAIN}') THEN {column}")
    if words:
        pattern = f"(?i){_AROUND}(?:{'|'.join(map(_escaped, words))}){_AROUND}"
        cases.append(f"WHEN regexp_full_match({column}, {_literal(pattern)}) THEN NULL")
    if form != "text":
        cases += [
            f"WHEN NOT regexp_full_match({column}, '{_AROUND}-?[0-9][0-9.eE+]*{_AROUND}') "
            f"THEN nfc_normalize({text})",
            f"WHEN regexp_full_match({text}, '{_WHOLE.pattern}') AND "
            f"abs(try_cast(split_part({text}, '.', 1) AS HUGEINT)) <= {MAX_EXACT} THEN split_part({text}, "
            "'.', 1)",
            f"WHEN regexp_full_match({text}, '{_SCIENTIFIC.pattern}') THEN {_digits_sql(text, _SCIENTIFIC)}",
            f"WHEN regexp_full_match({text}, '{_JAVA.pattern}') THEN {_digits_sql(text, _JAVA)}",
        ]
    found = f"CASE {' '.join(cases)} ELSE {text} END" if cases else text
    if form == "numbers":
        return f"regexp_replace({found}, '^{_ZEROS.pattern}$', '\\1')"
    return found


def _escaped(word: str) -> str:
    """Return a word as a regular expression of RE2."""
    return re.sub(r"[^0-9a-z]", lambda found: f"\\x{{{ord(found[0]):x}}}", word)


def _digits_sql(text: str, pattern: re.Pattern[str]) -> str:
    """Return SQL for what `canonical` makes of a text that matches _SCIENTIFIC or _JAVA."""
    sign, first, decimals, exponent = (
        f"regexp_extract({text}, '{pattern.pattern}', {group})" for group in (1, 2, 3, 4)
    )
    places = f"CAST({exponent} AS INTEGER)"
    is_whole = "true"
    if pattern is _JAVA:
        is_whole = f"{places} >= {JAVA_EXPONENT}"
        decimals = f"rpad({decimals}, CAST(greatest({places}, length({decimals})) AS INTEGER), '0')"
    number = f"try_cast({first} || substr({decimals}, 1, {places}) AS HUGEINT)"
    exact = (
        f"{is_whole} AND length({decimals}) >= {places} "
        f"AND rtrim(substr({decimals}, {places} + 1), '0') = '' AND {number} <= {MAX_EXACT}"
    )
    return f"CASE WHEN {exact} THEN {sign} || CAST({number} AS VARCHAR) ELSE {text} END"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
