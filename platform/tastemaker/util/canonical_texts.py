"""Canonical texts: one written form of texts that are compared and shown, such as a category.

Blanks around a text are removed, invisible ones included, and letters are composed (Unicode's form NFC), as
in ids (`canonical_ids`). A fixed-width column of a database pads its values with blanks, and "Beer   " was
not blocked by a problem that blocks "Beer". The same rule is implemented in Python and in SQL.
"""

from __future__ import annotations

import unicodedata

_RANGES = (
    *(
        (0x09, 0x0D),
        (0x1C, 0x20),
        (0x85, 0x85),
        (0xA0, 0xA0),
        (0xAD, 0xAD),
        (0x1680, 0x1680),
        (0x180E, 0x180E),
    ),
    *((0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
BLANK_RANGES = "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in _RANGES)
"""The characters of BLANKS, as ranges of a regular expression."""
BLANKS = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
"""Every white space of Unicode, and characters that can't be seen: of no width, or of direction."""


def canonical_text(text: str) -> str:
    """Return a text without blanks around it, and with composed letters.

    >>> canonical_text(" Mo\\u0308bel\\u00a0") == "M\\u00f6bel"
    True
    """
    return text if text.isascii() and text.isalnum() else unicodedata.normalize("NFC", text.strip(BLANKS))


def canonical_text_sql(column: str) -> str:
    """Return SQL for DuckDB that computes `canonical_text` of the text expression `column`."""
    return f"nfc_normalize({trimmed_sql(column)})"


def trimmed_sql(column: str) -> str:
    """Return SQL for DuckDB: the text expression `column` without the blanks around it.

    Its `trim` by a set is slow, so it is applied only to texts that do not begin and end with a visible ASCII
    character.
    """
    tight = f"regexp_full_match({column}, '[!-~](?:[ -~]*[!-~])?')"
    return f"CASE WHEN {tight} THEN {column} ELSE {slowly_trimmed_sql(column)} END"


def slowly_trimmed_sql(column: str) -> str:
    """Return SQL as `trimmed_sql` does, for what is rarely computed: DuckDB's `trim` by a set alone."""
    return f"trim({column}, '{BLANKS}')"
