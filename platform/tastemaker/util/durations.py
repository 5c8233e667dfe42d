"""Lengths of time that several packages count in."""

DAY_SECONDS = 86_400


def in_words(days: float) -> str:
    """Return a length of time in its largest unit that is not below 1.

    >>> in_words(7), in_words(1 / 24), in_words(0.5 / 86_400)
    ('7 days', '1 hour', '0.5 seconds')
    """
    units = {"day": DAY_SECONDS, "hour": 3_600, "minute": 60}
    seconds = days * DAY_SECONDS
    unit, length = next(((name, one) for name, one in units.items() if seconds >= one), ("second", 1))
    number = f"{seconds / length:g}"
    return f"{number} {unit}" + ("" if number == "1" else "s")
