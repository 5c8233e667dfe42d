"""Which encoding a text is in: by its byte order mark, by where its zeros lie, or by the letters that it
would have."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import NamedTuple

BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""UTF-32 first: its mark begins with that of UTF-16. UTF-8 with a mark is UTF-8: DuckDB reads it as CSV, and
of JSON a copy without the mark is made."""

SAMPLE_BYTES = 1 << 18
MAX_UTF8_SHARE = 0.1
"""With more lines than this share in UTF-8, what is not UTF-8 is damage, and not another encoding."""

_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "cp850", "mac_roman")
_OTHERS = (
    *("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp874"),
)
_SHIFT_JIS = re.compile(rb"[\x81-\x9f]")
_RUN = re.compile(rb"[\x80-\xff]+")


class Detected(NamedTuple):
    """A detected encoding, and a line by which a person can check it."""

    encoding: str
    line: int
    """The first line that is not ASCII."""


def without_bom(head: bytes) -> str | None:
    """Detect UTF-16 or UTF-32 without a byte order mark, by the zero bytes of ASCII characters.

    Returns:
        The encoding; None for any other.
    """
    head = head[: SAMPLE_BYTES - SAMPLE_BYTES % 4]
    n = len(head) // 4
    if n == 0:
        return None
    zeros = [head[place::4].count(0) / n for place in range(4)]
    for name, full in (("utf-32-le", (1, 2, 3)), ("utf-32-be", (0, 1, 2))):
        if all(zeros[place] > 0.9 for place in full):
            return name
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if max(even, odd) < 0.3 or min(even, odd) > 0.05 * max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def detect(path: Path) -> Detected | None:
    """Detect the encoding of a file that is not UTF-8.

    Returns:
        The encoding; None where it is unknown, or where all but a few of the non-ASCII lines are UTF-8.
    """
    sample, size, first, valid, invalid = [], 0, 0, 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.isascii():
                continue
            first = first or number
            if _is_utf8(line):
                valid += 1
                continue
            invalid += 1
            if size < SAMPLE_BYTES:
                sample.append(line)
                size += len(line)
    if valid > MAX_UTF8_SHARE * (valid + invalid):
        return None
    encoding = _by_letters(b"".join(sample))
    return None if encoding is None else Detected(encoding, first)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _by_letters(sample: bytes) -> str | None:
    """Among encodings that fit about equally well, Western European is by far the most frequent."""
    from charset_normalizer import from_bytes

    runs = _RUN.findall(sample)
    # Latin text has its accented letters apart, other scripts have whole words of such bytes.
    is_latin = sum(map(len, runs)) < 2 * len(runs)
    family: tuple[str, ...] = _LATIN if is_latin else (*_OTHERS, *_LATIN)
    if not _SHIFT_JIS.search(sample):  # it would be katakana of half width alone, which few write
        family = tuple(name for name in family if name != "cp932")
    found = list(from_bytes(sample, cp_isolation=list(family), enable_fallback=False, threshold=0.4))
    if not found:
        return None
    best = min(found, key=lambda match: (round(match.chaos, 2), -match.coherence))
    for match in found if is_latin else ():
        close = match.chaos <= best.chaos + 0.02 and match.coherence >= best.coherence - 0.05
        if close and _LATIN[0] in (match.encoding, *match.could_be_from_charset):
            return _LATIN[0]
    return str(best.encoding)
