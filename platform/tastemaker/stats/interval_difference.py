"""The interval of a difference of two figures of which only the intervals are known.

    d = a - b
    low  = d - √((a - l_a)² + (u_b - b)²)
    high = d + √((u_a - a)² + (b - l_b)²)

The figures must be independent. Where the same users are behind both and are alike in both, the interval is
too wide rather than too narrow. For shares with Wilson's intervals it is Newcombe's tenth method. References:
R. Newcombe, Statistics in Medicine 17(8), 1998; G. Zou and A. Donner, Statistics in Medicine 27(10), 2008.
"""

from __future__ import annotations

import math

from tastemaker.stats.bootstrap import Interval


def interval_difference(a: Interval, b: Interval) -> Interval:
    """Return a - b with its interval at the level of both; NaN where either has none.

    Args:
        a: An interval of one sample.
        b: An interval of an independent sample, at the same level.

    >>> found = interval_difference(Interval(0.12, 0.11, 0.13), Interval(0.10, 0.09, 0.11))
    >>> [round(end, 4) for end in found]
    [0.02, 0.0059, 0.0341]
    """
    difference = a.value - b.value
    return Interval(
        difference,
        difference - math.hypot(a.value - a.low, b.high - b.value),
        difference + math.hypot(a.high - a.value, b.value - b.low),
    )
