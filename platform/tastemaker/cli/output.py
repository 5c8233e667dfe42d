"""Output for any terminal: characters that its encoding lacks are replaced."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper

HANDLER = "tastemaker.replace"

_PLAIN = {
    "✓": "+", "✗": "x", "✖": "x", "–": "-", "—": "-", "−": "-", "…": "...", "·": ".", "•": "*", "●": "*",
    "★": "*", "☆": "*", "◆": "*", "○": "o", "▲": "^", "▼": "v", "×": "x", "≤": "<=", "≥": ">=", "→": "->",
    "λ": "lambda", "─": "-", "━": "-", "│": "|", "╸": "-", "╺": "-", "\u2019": "'", "“": '"', "”": '"',
}  # fmt: skip
"""Replacements of the characters that the platform itself prints."""


def replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return replacements of characters that can't be encoded: ASCII, else a JSON escape such as \\u00e9.

    This is an error handler for `codecs.register_error`.

    Args:
        error: The failed encoding.

    Returns:
        The replacement text, and the position at which encoding continues.

    Raises:
        UnicodeError: the error itself, if it is not a `UnicodeEncodeError`.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or _escaped(sign) for sign in text), error.end


def _escaped(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def make_output_safe() -> None:
    """Make standard output and standard error replace characters that their encoding lacks."""
    codecs.register_error(HANDLER, replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors != "surrogateescape":
            stream.reconfigure(errors=HANDLER)
