"""Numbers of bytes in words."""

from __future__ import annotations

_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def byte_size(n_bytes: float) -> str:
    """Return a number of bytes with three digits and its unit.

    >>> byte_size(9_530_000_000), byte_size(268_435_456), byte_size(12)
    ('9.53 GB', '268 MB', '12 bytes')
    """
    for size, unit in _UNITS:
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"
