"""Numbers with their nouns."""


def counted(number: int, noun: str) -> str:
    """Return a number of things, whose noun ends in s where there are several.

    Args:
        number: How many things there are.
        noun: What one of them is called.

    >>> counted(1, "change"), counted(1_200, "unit")
    ('1 change', '1,200 units')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
